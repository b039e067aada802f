"""How listings are written: as tables for people, and as JSON that is the same every time."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from hooktune.plain_text import printable

if TYPE_CHECKING:
    from rich.table import Table

_WIDE: Final = 200
_NARROW: Final = 120
_ID_LENGTH: Final = 32
_CELL: Final = 300


def json_text(value: Any) -> str:
    """Write a listing so that the same store gives the same text; NaN becomes null.

    Letters of all languages stand as they are, and what a terminal could mistake is escaped.
    """
    text = json.dumps(_without_nan(value), indent=2, ensure_ascii=False, sort_keys=True)
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> "Table":
    """Lay out rows under their headings; numbers are right-aligned with four decimals."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    laid_out = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in columns:
        laid_out.add_column(Text(printable(heading, _CELL)))
    rows = [tuple(row) for row in rows]
    for place, column in enumerate(laid_out.columns):
        values = [row[place] for row in rows]
        if any(isinstance(value, int | float) for value in values):
            column.justify = "right"
        # Prose may be wrapped, while half an id or half a number serves nobody.
        longest = max((len(cell(value)) for value in values if not _is_prose(value)), default=0)
        column.min_width = min(longest, _ID_LENGTH)
        column.overflow = "fold"
    for row in rows:
        laid_out.add_row(*(Text(printable(cell(value), _CELL)) for value in row))
    return laid_out


def print_table(laid_out: "Table") -> None:
    """Print a table to standard output, as wide as the terminal or as a wide page.

    In a terminal too narrow for the columns' least widths the lines run on.
    """
    from rich.console import Console

    console = Console()
    console.width = max(console.width, _NARROW) if console.is_terminal else _WIDE
    console.print(laid_out)


def cell(value: Any) -> str:
    """Write one value as it stands in a table."""
    if value is None:
        return "–"
    return f"{value:z.4f}" if isinstance(value, float) else str(value)


def _is_prose(value: Any) -> bool:
    return isinstance(value, str) and " " in value.strip()


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return value
