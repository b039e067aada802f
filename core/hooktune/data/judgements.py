"""Judgements: how relevant people, and not clicks, say that items are to queries."""

import csv
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from hooktune.contract.files import open_file, plain_name
from hooktune.contract.json_lines import line_error, read_objects
from hooktune.contract.log_source import Findings
from hooktune.data.beir import QRELS_FILE, QUERIES_FILE, is_head, read_queries
from hooktune.errors import DataError

_COLUMNS: Final = ("query", "object_id", "grade")
_JSON_SUFFIXES: Final = (".jsonl", ".ndjson")
_FIELDS_OF_QRELS: Final = 4


class _Line(NamedTuple):
    number: int
    query: str
    object_id: str
    grade: str


@dataclass(frozen=True)
class Judgements:
    """The grades of items for queries, which are named by their texts."""

    grades: dict[str, dict[str, float]] = field(repr=False)
    """For each query, the grades of items by their object ids; above 0 is relevant."""
    is_qrels: bool
    """Whether they come from a file of TREC's form, which elsewhere names queries by numbers."""

    @cached_property
    def digest(self) -> str:
        """24 hex digits that follow from the grades alone, in whatever form they are written."""
        digest = hashlib.sha256()
        for query in sorted(self.grades):
            for object_id, grade in sorted(self.grades[query].items()):
                digest.update(repr((query, object_id, grade)).encode())
        return digest.hexdigest()[:24]


def read_judgements(path: Path) -> Judgements:
    """Read judgements from a file in UTF-8; its form is told by its name and its lines.

    - A folder in BEIR's form: its `qrels/test.tsv`.
    - Qrels of BEIR, which the head of the table tells; the texts of its queries are read from the
      `queries.jsonl` beside it or in the folder above.
    - `.jsonl` and `.ndjson`: a JSON object with `query`, `object_id` and `grade` a line.
    - `.csv`: a table with these columns, and perhaps others.
    - All others: lines of four fields, which are TREC qrels (`query 0 object_id grade`), or of
      three (`query object_id grade`), between tabs, or in a line without any between blanks.

    Raises:
        DataError: The file or one of its lines cannot be used, or an item has two grades for one
            query.
    """
    if path.is_dir():
        if not (path / QRELS_FILE).is_file():
            raise DataError(
                f"{path} is a folder, and not one in BEIR's form: it has no {QRELS_FILE}. Name a "
                "file of judgements."
            )
        path /= QRELS_FILE
    suffix = Path(plain_name(path)).suffix.lower()
    if suffix in _JSON_SUFFIXES:
        return _checked(path, _json_lines(path), is_qrels=False)
    lines = _text(path).split("\n")
    if suffix == ".csv":
        return _checked(path, _table(path, lines), is_qrels=False)
    if is_head(lines[0]):
        return _checked(path, _beir_lines(path, lines), is_qrels=False)
    first = next((line for line in lines if line.strip()), "")
    is_qrels = len(_fields(first)) == _FIELDS_OF_QRELS
    return _checked(path, _plain_lines(path, lines), is_qrels)


def _text(path: Path) -> str:
    with open_file(path) as file:
        content = file.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8. Save it in UTF-8.") from error


def _checked(path: Path, lines: Iterator[_Line], is_qrels: bool) -> Judgements:
    grades = _gathered(path, lines)
    if not grades:
        raise DataError(f"{path} holds no judgement. A line is: query, object_id, grade.")
    return Judgements(grades, is_qrels)


def _gathered(path: Path, lines: Iterator[_Line]) -> dict[str, dict[str, float]]:
    grades: dict[str, dict[str, float]] = {}
    first: dict[tuple[str, str], int] = {}
    for number, query, object_id, text in lines:
        query, object_id = query.strip(), object_id.strip()
        if not query or not object_id:
            empty = "object_id" if query else "query"
            raise line_error(path, number, f"the {empty} is empty.")
        try:
            grade = float(text)
        except ValueError:
            grade = math.nan
        if not math.isfinite(grade):
            raise line_error(path, number, f"the grade {text[:40]!r} is no number.")
        before = grades.setdefault(query, {}).setdefault(object_id, grade)
        line = first.setdefault((query, object_id), number)
        if before != grade:
            raise line_error(
                path,
                number,
                f"the item {object_id!r} has another grade for this query than on line {line}. "
                "Keep one of them.",
            )
    return grades


def _fields(line: str) -> Sequence[str]:
    line = line.rstrip("\r")
    return line.split("\t") if "\t" in line else line.split()


def _plain_lines(path: Path, lines: Sequence[str]) -> Iterator[_Line]:
    width = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = _fields(line)
        width = width or len(fields)
        if len(fields) != width or width not in (len(_COLUMNS), _FIELDS_OF_QRELS):
            raise line_error(
                path,
                number,
                f"{len(fields)} fields, and not {width if number > 1 else '3 or 4'}. Write the "
                "query, the object_id and the grade between tabs, or as TREC qrels: the query, 0, "
                "the object_id and the grade.",
            )
        if tuple(fields) != _COLUMNS:
            yield _Line(number, fields[0], *fields[-2:])


def _beir_lines(path: Path, lines: Sequence[str]) -> Iterator[_Line]:
    """Return qrels of BEIR, with the texts of the queries in the place of their ids."""
    queries = read_queries(path)
    for line in _plain_lines(path, lines):
        if line.number == 1:
            continue
        if line.query not in queries:
            raise line_error(
                path, line.number, f"the query {line.query!r} is none of {QUERIES_FILE}."
            )
        yield line._replace(query=queries[line.query])


def _table(path: Path, lines: Sequence[str]) -> Iterator[_Line]:
    rows = csv.DictReader(f"{line}\n" for line in lines)
    try:
        if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
            raise line_error(path, 1, f"the column {missing[0]!r} is missing; name it in the head.")
        for row in rows:
            query, object_id, grade = (row[name] or "" for name in _COLUMNS)
            yield _Line(rows.line_num, query, object_id, grade)
    except csv.Error as error:
        raise line_error(path, rows.line_num + 1, f"no line of a table: {error}.") from error


def _json_lines(path: Path) -> Iterator[_Line]:
    for number, stated in read_objects(path, Findings()):
        values = [stated.get(name) for name in _COLUMNS]
        for name, value in zip(_COLUMNS, values, strict=True):
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise line_error(
                    path, number, f"the field {name!r} is missing, or is no text and no number."
                )
        yield _Line(number, *map(str, values))
