"""BEIR's form of a collection: corpus.jsonl, queries.jsonl and qrels/*.tsv, read and written.

The form: https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hooktune.contract.files import COMPRESSED, plain_name
from hooktune.contract.hooks import hookimpl
from hooktune.contract.json_lines import line_error, read_objects, read_texts, shortened
from hooktune.contract.log_source import Findings, LogSource
from hooktune.contract.long_form import MAX_NAME_LENGTH, LogPart
from hooktune.contract.sessions import Batch
from hooktune.data.log_schema import CLICK
from hooktune.data.whole_folder import whole_folder
from hooktune.errors import DataError, RequestError

HEAD: Final = ("query-id", "corpus-id", "score")
"""The columns of a file of qrels, in its first line."""
QUERIES_FILE: Final = "queries.jsonl"
CORPUS_FILE: Final = "corpus.jsonl"
QRELS_FILE: Final = "qrels/test.tsv"

_AT_ONCE: Final = 50_000


@hookimpl
def recognise_log(source: LogSource) -> str | None:
    """Recognise qrels by the head of the table."""
    try:
        first = source.head().split(b"\n", 1)[0].decode("utf-8", "replace")
    except DataError:
        return None
    return "its first line is BEIR's 'query-id corpus-id score'" if is_head(first) else None


@hookimpl
def read_log(source: LogSource) -> Iterator[LogPart]:
    """Read qrels: a query is a search that shows its judged items, those above 0 being clicked.

    The grade is the click's value, so that `--event-weight click=3@2` tells grades apart.
    """
    for file in source.files:
        yield from _parts(file, read_queries(file, source.findings), source.findings)


def is_head(line: str) -> bool:
    """Tell whether a line is the head of BEIR's qrels."""
    return tuple(line.strip("\ufeff\r\n ").split("\t")) == HEAD


def read_queries(qrels: str | Path, findings: Findings | None = None) -> dict[str, str]:
    """Read the texts of the queries that some qrels name, from the `queries.jsonl` beside them.

    Args:
        qrels: The file of qrels, in the folder of the collection or in its folder `qrels`.
        findings: Takes lines that cannot be used.

    Raises:
        DataError: There is no such file, or a line of it cannot be used.
    """
    findings = findings or Findings()
    folder = str(qrels).rpartition("/")[0] or "."
    names = [
        f"{where}/{QUERIES_FILE}{ending}"
        for where in (f"{folder}/..", folder)
        for ending in ("", *COMPRESSED)
    ]
    name = next((name for name in map(_without_parent, names) if _exists(name)), None)
    if name is None:
        raise DataError(
            f"{qrels} names queries by ids, and there is no {QUERIES_FILE} with their texts beside "
            "it or in the folder above."
        )
    queries: dict[str, str] = {}
    for number, stated in read_objects(name, findings):
        named, text = stated.get("_id"), stated.get("text")
        if not _is_name(named) or not isinstance(text, str) or not text.strip():
            problem = (
                "a query has an '_id' and a 'text' that is not blank, and this is "
                f"{shortened(stated)}."
            )
            findings.set_aside(line_error(name, number, problem))
            continue
        queries[str(named)] = text
    return queries


def _parts(file: str, queries: dict[str, str], findings: Findings) -> Iterator[LogPart]:
    shown: list[tuple[str, str, str, int, int]] = []
    grades: list[float] = []
    places: Counter[str] = Counter()
    for number, line in read_texts(file):
        if number == 1 and is_head(line):
            continue
        findings.lines += 1
        try:
            query_id, item, grade = _qrel(line)
            if query_id not in queries:
                raise ValueError(f"the query {query_id!r} is none of {QUERIES_FILE}.")
        except ValueError as error:
            findings.set_aside(line_error(file, number, str(error)))
            continue
        places[query_id] += 1
        shown.append((query_id, queries[query_id], item, places[query_id], number))
        grades.append(grade)
        if len(shown) >= _AT_ONCE:
            yield _part(file, shown, grades)
            shown, grades = [], []
    yield _part(file, shown, grades)


def _qrel(line: str) -> tuple[str, str, float]:
    fields = line.split("\t")
    if len(fields) != len(HEAD):
        raise ValueError(f"{len(fields)} fields, and not {', '.join(HEAD)} between tabs.")
    query_id, item, stated = (field.strip() for field in fields)
    if not _is_name(query_id) or not _is_name(item):
        raise ValueError(f"an id is empty or has more than {MAX_NAME_LENGTH} characters.")
    try:
        grade = float(stated)
    except ValueError:
        grade = np.nan
    if not np.isfinite(grade):
        raise ValueError(f"the score {stated[:40]!r} is no number.")
    return query_id, item, grade


def _part(file: str, shown: list[tuple[str, str, str, int, int]], grades: list[float]) -> LogPart:
    names = ("search_id", "query", "item", "position", "line")
    kinds = (pa.string(), pa.string(), pa.string(), pa.int64(), pa.int64())
    columns = zip(*shown, strict=True) if shown else ([] for _ in names)
    rows = {
        name: pa.array([*values], kind)
        for name, kind, values in zip(names, kinds, columns, strict=True)
    }
    grade = pa.array(grades, pa.float64())
    relevant = pa.array(np.array(grades) > 0, pa.bool_())
    happened = {name: rows[name].filter(relevant) for name in ("search_id", "item", "line")}
    value = grade.filter(relevant)
    kind = pa.array([CLICK] * len(value), pa.string())
    return LogPart.of(file, rows, happened | {"kind": kind, "value": value})


def _is_name(stated: Any) -> bool:
    if isinstance(stated, bool) or not isinstance(stated, str | int):
        return False
    return 0 < len(str(stated)) <= MAX_NAME_LENGTH


def _without_parent(name: str) -> str:
    """Take `folder/..` out of an address, which object stores do not know."""
    folder, parent, rest = name.partition("/..")
    if not parent or folder in (".", "..") or folder.endswith("/.."):
        return name
    above, slash, _ = folder.rpartition("/")
    return f"{above if slash else '.'}{rest}"


def _exists(name: str) -> bool:
    if "://" not in name:
        return Path(name).is_file()
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(name)
        return bool(system.isfile(path))
    except Exception as error:
        raise DataError(f"{plain_name(name)} cannot be asked for: {error}.") from error


def export_beir(batch: Batch, to: str | Path) -> Path:
    """Write the items, queries and clicks of a batch as a collection in BEIR's form.

    An item's score for a query is the greatest weight of what any of its sessions made of it,
    rounded up as BEIR's scores are whole numbers: 1 for clicks, and 0 for what was shown alone.

    Args:
        batch: An opened batch.
        to: The folder to make.

    Returns:
        The folder.

    Raises:
        RequestError: It exists, or cannot be written.
    """
    to = Path(to)
    if to.exists():
        raise RequestError(f"{to} exists. Name a folder to be made.")
    try:
        with whole_folder(to) as folder:
            _write_lines(folder / CORPUS_FILE, _corpus(batch))
            queries = enumerate(batch.sessions.queries.to_pylist(), start=1)
            stated = ({"_id": f"q{number}", "text": text} for number, text in queries)
            _write_lines(folder / QUERIES_FILE, map(_as_json, stated))
            (folder / QRELS_FILE).parent.mkdir()
            _write_lines(folder / QRELS_FILE, _qrels(batch))
    except OSError as error:
        raise RequestError(f"{to} cannot be written: {error.strerror or error}.") from error
    return to


def _corpus(batch: Batch) -> Iterator[str]:
    for object_id, text in zip(batch.object_ids, batch.sessions.items, strict=True):
        yield _as_json({"_id": object_id.as_py(), "title": "", "text": text.as_py()})


def _qrels(batch: Batch) -> Iterator[str]:
    sessions = batch.sessions
    query = sessions.query_index[sessions.session_index].astype(np.int64)
    pairs, pair = np.unique(query * len(sessions.items) + sessions.item_index, return_inverse=True)
    grade = np.zeros(len(pairs))
    np.maximum.at(grade, pair, sessions.grades)
    queries, items = np.divmod(pairs, len(sessions.items))
    names = batch.object_ids.take(pa.array(items)).to_pylist()
    yield "\t".join(HEAD)
    for number, name, score in zip(queries.tolist(), names, np.ceil(grade).tolist(), strict=True):
        yield f"q{number + 1}\t{name}\t{score:.0f}"


def _as_json(stated: dict[str, Any]) -> str:
    return json.dumps(stated, ensure_ascii=False)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)
