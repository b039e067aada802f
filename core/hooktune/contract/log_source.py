"""What a reader of logs is given: where the log lies, how to read it, and whom to tell of it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from hooktune.contract.files import open_file
from hooktune.contract.labels import field_names, stated_labels
from hooktune.errors import DataError

_EXAMPLES: Final = 3
_EXAMPLE_LENGTH: Final = 300
_HEAD_BYTES: Final = 1 << 16
_MOST_FIELDS: Final = 200
_NOTED: Final = 10_000
"""How many objects or rows are gone through for that; of millions it would take a minute."""

BAD_LINES: Final = "lines that cannot be used, set aside"
BAD_ITEMS: Final = "lines of the items that cannot be used, set aside"


class Finding(BaseModel):
    """Something that was counted in a log, with a few examples."""

    model_config = ConfigDict(frozen=True)

    what: str
    """Such as `events without a search`."""
    count: NonNegativeInt
    examples: tuple[str, ...] = ()
    """Where some of them stand, and what they are."""


@dataclass
class Findings:
    """Takes what is counted while a log is read; nothing of a log is dropped without a count here.

    Args:
        tolerated: The share of lines that may be set aside because they cannot be used, such as
            0.001; with 0 the first of them is an error.
        bad: What these are counted as.
    """

    tolerated: float = 0.0
    bad: str = BAD_LINES
    lines: int = 0
    """How many lines or rows were read."""
    fields: dict[str, None] = field(default_factory=dict)
    """Fields that objects or rows had which lacked a label, in the order in which they were met."""
    _counts: dict[str, int] = field(default_factory=dict)
    _examples: dict[str, list[str]] = field(default_factory=dict)
    _noted: int = 0

    def count(self, what: str, number: int = 1, examples: tuple[str, ...] = ()) -> None:
        """Add to what was counted.

        Args:
            what: What it is, in words and in the plural, such as `events without a search`.
            number: How many more there are.
            examples: Some of them; of each thing the first few are kept.
        """
        self._counts[what] = self._counts.get(what, 0) + number
        kept = self._examples.setdefault(what, [])
        for example in examples[: _EXAMPLES - len(kept)]:
            kept.append(example[:_EXAMPLE_LENGTH])

    def note_fields(self, names: Iterable[str]) -> None:
        """Remember the names of fields, to tell what a log has in the place of a missing label."""
        if self._noted == _NOTED:
            return
        self._noted += 1
        for name in names:
            if len(self.fields) == _MOST_FIELDS:
                return
            self.fields[name] = None

    def set_aside(self, problem: DataError) -> None:
        """Pass over a line that cannot be used, if that is tolerated.

        Raises:
            DataError: No line may be set aside; it is `problem` itself.
        """
        if not self.tolerated:
            raise problem
        self.count(self.bad, 1, (str(problem),))

    def check_tolerance(self) -> None:
        """Refuse a log of which more was set aside than is tolerated.

        Raises:
            DataError: It was; the message holds examples.
        """
        bad = self._counts.get(self.bad, 0)
        if bad > self.tolerated * self.lines:
            raise DataError(
                f"{bad} of {self.lines} lines cannot be used, and {self.tolerated:.4%} are "
                f"tolerated. {' '.join(self._examples[self.bad])} "
                "Mend them, or tolerate more by --tolerate."
            )

    def all(self) -> tuple[Finding, ...]:
        """Return everything that was counted, in the order in which it was first met."""
        return tuple(
            Finding(what=what, count=count, examples=tuple(self._examples[what]))
            for what, count in self._counts.items()
        )


@dataclass(frozen=True)
class LogSource:
    """A log to be read."""

    files: tuple[str, ...]
    """Paths, or addresses that `open_file` takes; patterns are resolved already."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """For fields of the long form, the columns of the log that hold them, as a user stated."""
    sql: str | None = None
    """The query to be asked, where the source is a database."""
    findings: Findings = field(default_factory=Findings)
    """Takes what is counted."""
    labels: tuple[str, ...] = ()
    """What is wanted of each search beside its query and results, such as its `market`."""

    def labels_of(self, stated: Mapping[str, Any]) -> str | None:
        """Return the wanted labels that an object or a row states, as the long form holds them.

        Args:
            stated: An object of JSON, or the row of a table by the names of its columns. A label
                is the field of its own name, or the one that `columns` has for it; dots stand
                between the names of a field and of one in it.

        Returns:
            What the column `labels` of `LogPart.shown` takes; None where no label is stated.

        Raises:
            ValueError: A field holds what is no label, such as a list; the message names it.
        """
        if not self.labels:
            return None
        fields = {label: self.columns.get(label, label) for label in self.labels}
        found = stated_labels(stated, fields)
        if len(found) < len(fields):
            self.findings.note_fields(field_names(stated))
        return json.dumps(found, ensure_ascii=False) if found else None

    def head(self) -> bytes:
        """Return the beginning of the first file, to recognise its format by.

        Raises:
            DataError: It cannot be read.
        """
        with open_file(self.files[0]) as file:
            return file.read(_HEAD_BYTES)
