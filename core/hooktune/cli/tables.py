"""How listings are written: as tables for people, and as JSON that is the same every time."""

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from hooktune.plain_text import printable, without_secrets

_GAP: Final = "  "
LINE: Final = 2000
"""What is longer is cut in a line of prose."""

_PROSE: Final = 500
_WORD: Final = re.compile(r"\S+\s*")
_PART_OF_HEADING: Final = re.compile(r"[^\s_]*_+|[^\s_]+\s*")


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    heading: str
    importance: int = 9
    """Where the terminal is too narrow, the columns that matter least go first; those of 9 stay."""
    is_prose: bool = False
    """Whether a value may be broken between its words, and cut where it is very long."""


@dataclass(frozen=True)
class Table:
    """Rows under their headings."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]

    def render(self, width: int | None = None) -> str:
        """Lay the rows out; numbers are right-aligned with four decimals.

        No word is broken, so that ids and addresses stand whole: columns go first, and where those
        that are left do not fit either, each row becomes a list of lines.

        Args:
            width: That of the terminal; None where a line may have any length.
        """
        values = [
            [_text(value, column) for column, value in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]
        shown = list(range(len(self.columns)))
        if width is None:
            return self._table(values, shown, [self._widest(values, place) for place in shown])
        while not self._fits(values, shown, width):
            least = min(shown, key=lambda place: (self.columns[place].importance, -place))
            if self.columns[least].importance >= Column.importance:
                return self._lists(values, width)
            shown.remove(least)
        text = self._table(values, shown, self._widths(values, shown, width))
        left_out = [
            self.columns[place].heading for place in range(len(self.columns)) if place not in shown
        ]
        if left_out:
            text += "\n" + "\n".join(
                _wrapped(
                    f"The terminal is too narrow for: {', '.join(left_out)}. A file or --json "
                    "gets all.",
                    width,
                )
            )
        return text

    def _widest(self, values: list[list[str]], place: int) -> int:
        return max(_width(self.columns[place].heading), *(_width(row[place]) for row in values), 0)

    def _narrowest(self, values: list[list[str]], place: int) -> int:
        column = self.columns[place]
        cells = [row[place] for row in values]
        unbroken = [word for cell in cells for word in cell.split()] if column.is_prose else cells
        words = [part.rstrip() for part in _PART_OF_HEADING.findall(column.heading)]
        return max((_width(word) for word in [*unbroken, *words]), default=0)

    def _fits(self, values: list[list[str]], shown: list[int], width: int) -> bool:
        least = sum(self._narrowest(values, place) for place in shown)
        return least + len(_GAP) * (len(shown) - 1) <= width

    def _widths(self, values: list[list[str]], shown: list[int], width: int) -> list[int]:
        """Give each column what it needs, and what is left to those that would take more."""
        widths = [self._narrowest(values, place) for place in shown]
        left = width - sum(widths) - len(_GAP) * (len(shown) - 1)
        for number, place in enumerate(shown):
            more = min(left, self._widest(values, place) - widths[number])
            widths[number] += more
            left -= more
        return widths

    def _table(self, values: list[list[str]], shown: list[int], widths: list[int]) -> str:
        right = [any(isinstance(row[place], int | float) for row in self.rows) for place in shown]
        headings = [self.columns[place].heading for place in shown]
        lines = [
            *_row(headings, widths, right, _PART_OF_HEADING),
            _GAP.join("─" * width for width in widths),
        ]
        for row in values:
            lines += _row([row[place] for place in shown], widths, right)
        return "\n".join(lines)

    def _lists(self, values: list[list[str]], width: int) -> str:
        blocks = []
        for row in values:
            lines = []
            for column, value in zip(self.columns, row, strict=True):
                line = f"{column.heading}: {value}" if column.heading else value
                if value.strip() and _width(line) > width and not column.is_prose:
                    lines += [f"{column.heading}:", f"  {value}"]
                elif value.strip():
                    lines += _wrapped(line, width) if column.is_prose else [line]
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks)


def print_table(table: Table) -> None:
    """Print a table to standard output, as wide as the terminal; else as wide as it is."""
    is_terminal = sys.stdout.isatty()
    click.echo(table.render(shutil.get_terminal_size().columns if is_terminal else None))


def json_text(value: Any) -> str:
    """Write a listing so that the same store gives the same text; NaN becomes null.

    Letters of all languages stand as they are, and what a terminal could mistake is escaped.
    """
    text = json.dumps(_without_nan(value), indent=2, ensure_ascii=False, sort_keys=True)
    text = without_secrets(text)
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )


def cell(value: Any) -> str:
    """Write one value as it stands in a table."""
    if value is None:
        return "–"
    return f"{value:z.4f}" if isinstance(value, float) else str(value)


def _text(value: Any, column: Column) -> str:
    return printable(cell(value), _PROSE if column.is_prose else None)


def _row(
    cells: Sequence[str],
    widths: Sequence[int],
    right: Sequence[bool],
    word: re.Pattern[str] = _WORD,
) -> list[str]:
    """Return the lines of one row, each cell being broken to the width of its column."""
    broken = [_wrapped(text, width, word) for text, width in zip(cells, widths, strict=True)]
    height = max(len(lines) for lines in broken)
    return [
        _GAP.join(
            _padded(lines[number] if number < len(lines) else "", width, is_right)
            for lines, width, is_right in zip(broken, widths, right, strict=True)
        ).rstrip()
        for number in range(height)
    ]


def _padded(text: str, width: int, is_right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if is_right else text + blanks


def _wrapped(text: str, width: int, word: re.Pattern[str] = _WORD) -> list[str]:
    """Break a text between its words, where it is longer than a width."""
    if _width(text) <= width:
        return [text]
    lines = [""]
    for part in word.findall(text):
        if _width(lines[-1] + part.rstrip()) <= width or not lines[-1]:
            lines[-1] += part
        else:
            lines.append(part)
    return [line.rstrip() for line in lines]


def _width(text: str) -> int:
    """Return how many places of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return value
