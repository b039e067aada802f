"""The reader of tables: a row a shown result, a row a session, or tables of searches and events."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hooktune import (
    MAX_POSITION,
    TABLE_ENDINGS,
    DataError,
    LogPart,
    LogSource,
    Rows,
    ending_of,
    hookimpl,
    read_rows,
)
from hooktune_logs.columns import TIME
from hooktune_logs.refinement import refinement
from hooktune_logs.table_columns import USUAL_NAMES, choose_columns, missing_column, stated_beside
from hooktune_logs.table_values import (
    to_clicks,
    to_list,
    to_number,
    to_position,
    to_query,
    to_text,
    to_time,
)

_MEANT_POSITION: Final = f"a whole number from 0 to {MAX_POSITION}"
SHOWN_KINDS: Final = frozenset({"impression", "shown", "view_item_list"})
"""Kinds of events by which a result is shown."""


@hookimpl
def recognise_log(source: LogSource) -> str | None:
    """Recognise tables by the endings of their names."""
    ending = ending_of(source.files[0])
    if source.sql is not None:
        return "it is a database to which --sql is put"
    if ending not in TABLE_ENDINGS or source.head().startswith(b"query-id\tcorpus-id\t"):
        return None
    return f"its name ends with {ending}"


@hookimpl
def guess_columns(source: LogSource) -> dict[str, str]:
    """Guess the columns of all tables by their usual names."""
    guessed: dict[str, str] = dict.fromkeys(USUAL_NAMES, "")
    for file in source.files:
        for rows in read_rows(file, source.sql, source.findings):
            if rows.first <= 2:
                guessed |= choose_columns(rows.table.column_names, source.columns, rows.source)
    return guessed


@hookimpl
def read_log(source: LogSource) -> Iterator[LogPart]:
    """Read tables; each is told by its columns to hold results, sessions, searches or events."""
    for file in source.files:
        told = replace(source, columns=stated_beside(file) | dict(source.columns))
        labels = {name for name in source.labels if name not in USUAL_NAMES}
        stated = {name: held for name, held in told.columns.items() if name not in labels}
        for rows in read_rows(file, source.sql, source.findings):
            columns = choose_columns(rows.table.column_names, stated, rows.source)
            yield part_of_rows(rows, columns, told)


def part_of_rows(rows: Rows, columns: dict[str, str], source: LogSource) -> LogPart:
    """Return some rows of a table in the long form.

    Args:
        rows: The rows.
        columns: For each thing that the table holds, its column.
        source: Takes what is counted and set aside, and says which labels are wanted.

    Raises:
        DataError: A column is missing, or a row cannot be used.
    """
    if "search_id" not in columns:
        raise missing_column(rows.source, "search_id", rows.table.column_names)
    reader = _RowReader(rows, columns, source)
    if "items" in columns:
        return _sessions(reader)
    if "kind" in columns:
        return _events(reader)
    if "item" not in columns and "query" not in columns:
        raise missing_column(rows.source, "item", rows.table.column_names)
    if "item" in columns and not columns.keys() & {"query", "position", "clicks"}:
        return _events(reader)
    return _results(reader)


class _RowReader:
    """Reads columns of some rows as values, and sets aside rows that hold something else."""

    def __init__(self, rows: Rows, columns: dict[str, str], source: LogSource) -> None:
        self.source = rows.source
        self.columns = columns
        self.lines = np.arange(len(rows.table)) + rows.first
        self._rows = rows
        self.findings = source.findings
        self._labels_of = source.labels_of
        self._wanted = {source.columns.get(name, name) for name in source.labels}
        self._bad = np.zeros(len(rows.table), dtype=bool)
        self.findings.lines += len(rows.table)

    def values(self, field: str, convert: Callable[[Any], Any], meant: str) -> list[Any]:
        """Return a column's values, converted; None for nulls, blanks and what is set aside."""
        name = self.columns.get(field)
        if name is None:
            return [None] * len(self.lines)
        distinct, places = _distinct(self._rows.table[name].combine_chunks())
        known: list[Any] = []
        wrong: dict[int, Any] = {}
        for place, value in enumerate(distinct):
            try:
                known.append(None if value is None or value == "" else convert(value))
            except (ValueError, TypeError, OverflowError, RecursionError):
                known.append(None)
                wrong[place] = value
        for row in np.flatnonzero(np.isin(places, list(wrong))).tolist() if wrong else ():
            self.refuse(
                row, f"the column {name!r} should be {meant}, and is {wrong[places[row]]!r:.60}."
            )
        return [*map([*known, None].__getitem__, places.tolist())]

    def required(self, field: str, convert: Callable[[Any], Any], meant: str) -> list[Any]:
        """Return a column's values as `values` does, of which none may be missing."""
        values = self.values(field, convert, meant)
        for row, value in enumerate(values):
            if value is None and not self._bad[row]:
                self.refuse(row, f"the column {self.columns[field]!r} is empty. Fill it in.")
        return values

    def labels(self) -> list[str | None]:
        """Return the labels that each row states, as the long form holds them."""
        names, wanted = self._rows.table.column_names, self._wanted
        if not wanted.issubset(names):
            self.findings.note_fields(names)
        of_nested = {name.partition(".")[0] for name in wanted}
        places = [place for place, name in enumerate(names) if name in wanted | of_nested]
        found: list[str | None] = [None] * len(self.lines)
        for row, stated in enumerate(self._rows.table.select(places).to_pylist() if places else ()):
            try:
                found[row] = self._labels_of(stated)
            except ValueError as error:
                self.refuse(row, str(error))
        return found

    def refuse(self, row: int, problem: str) -> None:
        """Set a row aside, or refuse the log for it."""
        if not self._bad[row]:
            where = f"{self.source}, {self._rows.unit} {self.lines[row]}"
            self.findings.set_aside(DataError(f"{where}: {problem}"))
            self._bad[row] = True

    def part(self, shown: dict[str, Any], happened: dict[str, Any], row_of: Any = None) -> LogPart:
        """Return columns in the long form, without the rows that were set aside."""
        keep = pa.array(~self._bad)
        tables = []
        for columns, rows in ((shown, None), (happened, row_of)):
            kept = keep if rows is None else keep.take(pa.array(rows, pa.int64()))
            tables.append(
                {name: _column(name, each).filter(kept) for name, each in columns.items()}
            )
        return LogPart.of(self.source, tables[0], tables[1])


def _distinct(column: pa.Array) -> tuple[list[Any], npt.NDArray[np.integer]]:
    """Return the distinct values of a column, and the place of each row's in them; -1 for null."""
    if pa.types.is_nested(column.type):
        return column.to_pylist(), np.arange(len(column))
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy()


def _column(name: str, values: Any) -> pa.Array:
    kinds = {"time": TIME, "position": pa.int64(), "rank": pa.float64(), "value": pa.float64(),
             "line": pa.int64()}  # fmt: skip
    return pa.array(values, kinds.get(name, pa.string()))


def _common(reader: _RowReader) -> dict[str, Any]:
    return {
        "search_id": reader.required("search_id", to_text, "a text"),
        "time": _times(reader),
        "line": reader.lines,
    }


def _who(reader: _RowReader) -> dict[str, Any]:
    """Return what is known of a whole search."""
    texts = {field: reader.values(field, to_text, "a text") for field in ("user", "application")}
    meant = "a text, or a list or an object in JSON"
    refined = {field: reader.values(field, refinement, meant) for field in ("sorting", "filters")}
    return texts | refined | {"labels": reader.labels()}


def _times(reader: _RowReader) -> list[int | None]:
    """Return the times, and count in which forms they are stated."""
    stated = reader.values("time", to_time, "a time such as 2024-12-10T00:01:29Z")
    for form, count in Counter(each[1] for each in stated if each and each[1]).items():
        reader.findings.count(form, count)
    return [each and each[0] for each in stated]


def _results(reader: _RowReader) -> LogPart:
    """Return rows of searches, of shown results, or of both."""
    common = _common(reader)
    shown = common | _who(reader) | {
        "query": reader.values("query", to_query, "a text"),
        "item": reader.values("item", to_text, "a text"),
        "position": reader.values("position", to_position, _MEANT_POSITION),
        "rank": reader.values("rank", to_number, "a number"),
    }  # fmt: skip
    clicks = reader.values("clicks", to_clicks, "a number of clicks, or true or false")
    row = np.repeat(np.arange(len(clicks)), [count or 0 for count in clicks])
    happened = {
        "search_id": [common["search_id"][place] for place in row],
        "item": [shown["item"][place] for place in row],
        "kind": ["click"] * len(row),
        "line": reader.lines[row],
    }
    return reader.part(shown, happened, row)


def _events(reader: _RowReader) -> LogPart:
    """Return rows of events, of which some say what was shown."""
    common = _common(reader)
    item = reader.values("item", to_text, "a text")
    kinds = reader.required("kind", to_text, "a text") if "kind" in reader.columns else None
    kind = kinds if kinds is not None else ["click"] * len(item)
    is_shown = [
        each in SHOWN_KINDS and named is not None for each, named in zip(kind, item, strict=True)
    ]
    shown = common | _who(reader) | {
        "item": item,
        "query": reader.values("query", to_query, "a text"),
        "position": reader.values("position", to_position, _MEANT_POSITION),
        "rank": reader.values("rank", to_number, "a number"),
    }  # fmt: skip
    value = reader.values("value", to_number, "a number")
    part = reader.part(shown, common | {"item": item, "kind": kind, "value": value},
                       np.arange(len(item)))  # fmt: skip
    kept = pa.array(is_shown).filter(pa.array(~reader._bad))
    return LogPart(part.shown.filter(kept), part.happened.filter(pc.invert(kept)), part.file)


def _sessions(reader: _RowReader) -> LogPart:
    """Return rows of whole sessions, each with a list of what was shown and of what was clicked."""
    common = _common(reader) | _who(reader)
    query = reader.required("query", to_query, "a text")
    meant = "a list of texts, or one in JSON"
    items, clicked = (reader.values(field, to_list, meant) for field in ("items", "clicked_items"))
    part = reader.part(common | {"query": query}, {})
    kept = [row for row in range(len(query)) if not reader._bad[row]]
    shown = [(row, item, place) for row in kept for place, item in enumerate(items[row] or (), 1)]
    clicks = [(row, item) for row in kept for item in clicked[row] or ()]
    ids, lines = common["search_id"], reader.lines
    more = LogPart.of(
        reader.source,
        {
            "search_id": pa.array([ids[row] for row, _, _ in shown], pa.string()),
            "item": pa.array([item for _, item, _ in shown], pa.string()),
            "position": pa.array([place for _, _, place in shown], pa.int64()),
            "line": pa.array([int(lines[row]) for row, _, _ in shown], pa.int64()),
        },
        {
            "search_id": pa.array([ids[row] for row, _ in clicks], pa.string()),
            "item": pa.array([item for _, item in clicks], pa.string()),
            "kind": pa.array(["click"] * len(clicks), pa.string()),
            "line": pa.array([int(lines[row]) for row, _ in clicks], pa.int64()),
        },
    )
    return LogPart(pa.concat_tables([part.shown, more.shown]), more.happened, part.file)
