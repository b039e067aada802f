"""The checks that a method and an extension have in common."""

from functools import partial
from typing import Protocol

from hooktune.testing.light_import import check_light_import
from hooktune.testing.report import Check, Fault
from hooktune.testing.subject import Subject
from hooktune.testing.surroundings import SURROUNDINGS, Surrounding


class Tried(Protocol):
    """A plugin that was tried."""

    @property
    def subject(self) -> Subject:
        """The plugin."""
        ...

    @property
    def changes(self) -> dict[str, str]:
        """What its hooks changed of their surroundings."""
        ...


def light_import(tried: Tried) -> None:
    """Import nothing that takes seconds; an object is passed over, since its module is a test's."""
    if tried.subject.module is not None:
        check_light_import(tried.subject.module)


def surroundings_left_alone(*needs: str) -> tuple[Check[Tried], ...]:
    """Return one check for each thing that a plugin shares with the rest of the process."""
    return tuple(
        Check(surrounding.name, partial(_left_alone, surrounding), needs)
        for surrounding in SURROUNDINGS
    )


def _left_alone(surrounding: Surrounding, tried: Tried) -> None:
    change = tried.changes.get(surrounding.name)
    if change is not None:
        raise Fault(
            f"the hooks have to leave what they share with the process as they found it, and "
            f"changed {change}. {surrounding.advice}"
        )
