"""Rows of the long form, gathered one by one as columns."""

from typing import Any, Final

import pyarrow as pa

from hooktune import LogPart

Columns = dict[str, list[Any]]

TIME: Final = pa.timestamp("us", "UTC")
"""How the long form holds a time."""


def append_row(columns: Columns, row: dict[str, Any]) -> None:
    """Add a row to columns, which are a `defaultdict` of lists."""
    for name, value in row.items():
        columns[name].append(value)


def part_of(file: str, shown: Columns, happened: Columns) -> LogPart:
    """Return gathered rows in the long form, with times in microseconds since 1970.

    Args:
        file: The file that they are from.
        shown: Rows of what was shown.
        happened: Rows of what happened.
    """
    tables: list[dict[str, Any]] = []
    for columns in (shown, happened):
        filled: dict[str, Any] = {name: values for name, values in columns.items() if values}
        if "time" in filled:
            filled["time"] = pa.array(filled["time"], TIME)
        tables.append(filled)
    return LogPart.of(file, *tables)
