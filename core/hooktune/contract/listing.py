"""Records that show themselves: in a line, as a table in a notebook, as a data frame of pandas."""

from collections.abc import Iterable, Sequence
from dataclasses import Field, fields
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from hooktune.plain_text import printable

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

_SHOWN_IN_LINE: Final = 6
_LONGEST_VALUE: Final = 100


class Record:
    """A record that shows itself in a line, and as a table of its values in a notebook."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def as_row(self) -> dict[str, Any]:
        """Return the values by which the record is shown, the most telling ones first."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.repr}

    def __repr__(self) -> str:
        given = [(name, value) for name, value in self.as_row().items() if value is not None]
        listed = ", ".join(f"{name}={_short(value)}" for name, value in given[:_SHOWN_IN_LINE])
        return f"<{type(self).__name__} {listed}{', …' if len(given) > _SHOWN_IN_LINE else ''}>"

    def _repr_html_(self) -> str:
        return _html((), ([name, value] for name, value in self.as_row().items()))


class Tabular:
    """Something that is a table, and shows itself as one in a notebook."""

    def as_rows(self) -> list[dict[str, Any]]:
        """Return the values of each row by their columns."""
        raise NotImplementedError

    def to_pandas(self) -> "pd.DataFrame":
        """Return the table as a data frame; a value that a row lacks is missing there."""
        import pandas as pd

        return pd.DataFrame(self.as_rows())

    def _repr_html_(self) -> str:
        rows = self.as_rows()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return _html(columns, ([row.get(name) for name in columns] for row in rows))


RecordT = TypeVar("RecordT", bound=Record)


class Listing(Tabular, tuple[RecordT, ...]):
    """Several records, such as the runs of an iteration: a tuple that is a table as well."""

    def as_rows(self) -> list[dict[str, Any]]:
        """Return the values of each record."""
        return [record.as_row() for record in self]

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "<nothing>"


def _html(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_cell(value))}</td>' for value in row)}</tr>" for row in rows
    )
    return (
        f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
    )


def _short(value: Any) -> str:
    return printable(f"{value:.4f}" if isinstance(value, float) else repr(value), _LONGEST_VALUE)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return printable(f"{value:.4f}" if isinstance(value, float) else str(value), _LONGEST_VALUE)
