"""The sessions of a log as columns, read a block of lines at a time.

What a session is, `log_schema` says alone. Arrow reads a block many times as fast as an object is
made of each line; wherever it cannot be sure that it read what pydantic would, the block is read
line by line, which also names the line that is wrong.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from hooktune.contract.json_lines import (
    Lines,
    deep_lines,
    line_error,
    read_line_blocks,
    stated_lines,
)
from hooktune.contract.log_source import Findings
from hooktune.data.jsonl import checked_sessions, read_sessions
from hooktune.data.log_schema import CLICK, Identifier, Query, Rank, Session, moment_of
from hooktune.data.session_block import SessionBlock, block_of, block_of_columns
from hooktune.errors import DataError

LabelsOf = Callable[[Mapping[str, Any]], str | None]
"""Returns the labels that an object states, as the long form holds them."""

_SAMPLE: Final = 64
_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)
_QUERIES: TypeAdapter[list[str]] = TypeAdapter(list[Query])
_RANK: TypeAdapter[float] = TypeAdapter(Rank)
# Arrow takes more words for numbers that are none than pydantic does.
_MAY_BE_NULL: Final = (b"user_id", b"created_at", b"event_type", b"rank")
_NO_NUMBER = re.compile(rb"[:\[,]\s*-?(?:Inf|NaN|Infinity)\s*[,\]}]")


def read_session_blocks(
    path: Path | str, findings: Findings | None = None, labels_of: LabelsOf | None = None
) -> Iterator[SessionBlock]:
    """Read the sessions of a log as columns, many lines at a time.

    Args:
        path: The log, as `read_sessions` takes it.
        findings: Takes how many lines there are, and those that are set aside.
        labels_of: Returns the labels that a line's object states, as `LogSource.labels_of` does;
            None where none are wanted.

    Yields:
        The sessions in the file's order.

    Raises:
        DataError: The file or one of its lines cannot be used, or two lines have one session id.
    """
    findings = Findings() if findings is None else findings
    session_ids: list[pa.StringArray] = []
    schema = None
    for number, lines in read_line_blocks(path):
        block, schema = _read_block(lines, schema, labels_of)
        problem = None
        if block is None:
            block, problem = _read_one_by_one(path, number, lines, findings, labels_of)
        findings.lines += len(lines)
        session_ids.append(block.session_ids)
        if problem is not None:
            _refuse_repeated(path, session_ids)
            raise problem
        yield block
    _refuse_repeated(path, session_ids)


def _read_one_by_one(
    path: Path | str,
    first_number: int,
    lines: Lines,
    findings: Findings,
    labels_of: LabelsOf | None,
) -> tuple[SessionBlock, DataError | None]:
    """Return the sessions of some lines up to the first that ends the reading, and why it does."""
    sessions: list[Session] = []
    labels: list[str | None] = []
    problem = None
    for number, line in enumerate(lines, start=first_number):
        try:
            for _, session in checked_sessions(path, number, [line]):
                labels += _labels(path, number, [line], labels_of)
                sessions.append(session)
        except DataError as error:
            try:
                findings.set_aside(error)
            except DataError as unbearable:
                problem = unbearable
                break
    return _with_labels(block_of(sessions), labels), problem


def _labels(
    path: Path | str, first_number: int, lines: Lines, labels_of: LabelsOf | None
) -> list[str | None]:
    """Return the labels that lines state, each of which is an object."""
    found: list[str | None] = []
    if labels_of is None:
        return found
    for number, line in enumerate(lines, start=first_number):
        try:
            found.append(labels_of(from_json(line)))
        except ValueError as error:
            raise line_error(path, number, str(error)) from None
    return found


def _with_labels(block: SessionBlock, labels: list[str | None]) -> SessionBlock:
    return replace(block, labels=pa.array(labels, pa.string())) if any(labels) else block


def _refuse_repeated(path: Path | str, session_ids: list[pa.StringArray]) -> None:
    """Read a log once more if a session id comes twice, to name the lines."""
    ids = pa.chunked_array(session_ids, pa.string())
    if pc.count_distinct(ids).as_py() < len(ids):
        for _ in read_sessions(path):
            pass


class _NotSureError(Exception):
    """Arrow may have read something else than pydantic would, or read what it refuses."""


def _read_block(
    lines: Lines, schema: pa.Schema | None, labels_of: LabelsOf | None = None
) -> tuple[SessionBlock | None, pa.Schema | None]:
    """Read lines by Arrow; return None if they are to be read one by one.

    Args:
        lines: The lines of a log.
        schema: That of the block before, if there was one; returned beside is that of this block.
        labels_of: Returns the labels of a line, if any are wanted.
    """
    content = stated_lines(lines)
    text = b"\n".join(content)
    # A line that opens and ends with a brace holds whole objects, and so many rows, one each.
    if not all(line.startswith(b"{") and line.endswith(b"}") for line in content) or deep_lines(
        content, text
    ):
        return None, schema
    for tried in (schema, _schema_of(content[:_SAMPLE])):
        if tried is not None:
            try:
                table = _parse(text, tried)
                block = _checked_block(table, text, len(content))
                return _with_labels(block, _labels("", 1, content, labels_of)), tried
            except (
                _NotSureError,
                pa.ArrowException,
                ValidationError,
                UnicodeDecodeError,
                DataError,
            ):
                pass
    return None, None


def _parse(text: bytes, schema: pa.Schema | None) -> pa.Table:
    behaviour = "infer" if schema is None else "ignore"
    return pj.read_json(
        pa.BufferReader(text),
        pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
        pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=behaviour),
    )


def _schema_of(lines: Sequence[bytes]) -> pa.Schema | None:
    """Return the types in which a log states the fields that are read, judged by some lines."""
    try:
        given = pa.struct(_parse(b"\n".join(lines), None).schema)
    except pa.ArrowException:
        given = pa.struct([])
    result, event = (_entry_in(given, name) for name in ("search_results", "events"))
    results = pa.struct([_text_in(result, "object_id"), ("rank", pa.float64())])
    events = pa.struct([_text_in(event, name) for name in ("object_id", "event_type")])
    return pa.schema(
        [
            *(_text_in(given, name) for name in ("session_id", "search_query")),
            *(_anything_in(given, name) for name in ("created_at", "user_id")),
            ("search_results", pa.list_(results)),
            ("events", pa.list_(events)),
        ]
    )


def _text_in(given: pa.StructType, name: str) -> pa.Field:
    """Return a text's field as the lines state it: as texts, or all as numbers of one kind."""
    kind = _kind_in(given, name)
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return pa.field(name, kind if is_number else pa.string())


def _anything_in(given: pa.StructType, name: str) -> pa.Field:
    """Return a field of which a log may state anything, as the lines state it."""
    kind = _kind_in(given, name)
    return pa.field(name, kind) if _is_neither_text_nor_number(kind) else _text_in(given, name)


def _entry_in(given: pa.StructType, name: str) -> pa.StructType:
    kind = _kind_in(given, name)
    entry = kind.value_type if pa.types.is_list(kind) else pa.null()
    return entry if pa.types.is_struct(entry) else pa.struct([])


def _kind_in(given: pa.StructType, name: str) -> pa.DataType:
    place = given.get_field_index(name)
    return given.field(place).type if place >= 0 else pa.null()


def _is_neither_text_nor_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_boolean(kind))


def _checked_block(table: pa.Table, text: bytes, rows: int) -> SessionBlock:
    """Return what Arrow read, if it is what pydantic would have read.

    Raises:
        _NotSureError, ValidationError, UnicodeDecodeError: It may not be.
    """
    if not text.isascii():
        text.decode("utf-8")
    # One letter is looked for many times as fast as three.
    may_be_odd = any(word[:1] in text and word in text for word in (b"Inf", b"NaN"))
    odd_number = may_be_odd and _NO_NUMBER.search(text)
    column = {name: table[name].combine_chunks() for name in table.column_names}
    results, events = column["search_results"], column["events"]
    shown, on = results.flatten(), events.flatten()
    if (
        table.num_rows != rows
        or odd_number
        or results.null_count
        or shown.null_count
        or on.null_count
        # Arrow does not tell a field that is null from one that is missing.
        or (events.null_count and not _has_no_odd_null(text))
    ):
        raise _NotSureError
    rank = shown.field("rank")
    # Both rules hold for all numbers, or all texts, between two for which they hold.
    extremes = pc.min_max(rank)
    for value in (extremes["min"].as_py(), extremes["max"].as_py()):
        if value is not None:
            _RANK.validate_python(value)
    queries = _texts(column["search_query"]).dictionary_encode()
    stripped = pa.array(_QUERIES.validate_python(queries.dictionary.to_pylist()), pa.string())
    block = block_of_columns(
        _identifiers(column["session_id"]),
        stripped.take(queries.indices),
        results.value_lengths().to_numpy(),
        _identifiers(shown.field("object_id")),
        rank,
        events.value_lengths().fill_null(0).to_numpy(),
        _identifiers(on.field("object_id")),
        _as_texts(on.field("event_type")).fill_null(CLICK),
        _times(column["created_at"]),
        _users(column["user_id"]),
    )
    if (block.event_results < 0).any():
        raise _NotSureError
    return block


def _has_no_odd_null(text: bytes) -> bool:
    """Tell whether all nulls of a text plainly are values of fields that may be null."""
    plain = sum(
        text.count(b'"%s":%snull' % (field, space))
        for field in _MAY_BE_NULL
        for space in (b" ", b"")
    )
    return text.count(b"null") == plain


def _identifiers(names: pa.Array) -> pa.StringArray:
    texts = _texts(names)
    lengths = pc.utf8_length(texts)
    extremes: Any = pc.min_max(lengths)
    for length in (extremes["min"], extremes["max"]):
        if length.is_valid:
            _IDENTIFIER.validate_python(texts[pc.index(lengths, length).as_py()].as_py())
    return texts


def _times(stated: pa.Array) -> pa.Int64Array:
    if stated.null_count == len(stated) or _is_neither_text_nor_number(stated.type):
        return pa.nulls(len(stated), pa.int64())
    return pa.array(map(moment_of, stated.to_pylist()), pa.int64())


def _users(stated: pa.Array) -> pa.StringArray:
    if _is_neither_text_nor_number(stated.type):
        return pa.nulls(len(stated), pa.string())
    users = _as_texts(stated)
    return pc.if_else(pc.equal(users, ""), None, users)


def _texts(values: pa.Array) -> pa.StringArray:
    if values.null_count:
        raise _NotSureError
    return _as_texts(values)


def _as_texts(values: pa.Array) -> pa.StringArray:
    # How a whole number is written is beyond doubt, unlike how another one is.
    if pa.types.is_floating(values.type):
        raise _NotSureError
    return values.cast(pa.string())
