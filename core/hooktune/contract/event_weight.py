"""Which kinds of events count, and what each is worth."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hooktune.errors import RequestError

MAX_WEIGHT: Final = 1000.0
"""The greatest weight of an event; the least is its inverse."""

_STATED: Final = re.compile(r"(?P<kind>.+)=(?P<weight>[^=@]+)(?:@(?P<at_least>[^=@]+))?", re.DOTALL)


@dataclass(frozen=True)
class EventWeight:
    """A kind of event that counts, and what one of it is worth.

    Args:
        kind: Such as `purchase`.
        weight: What it is worth beside a click, which is worth 1.
        at_least: The value that an event must have to count, such as the seconds of a visit; None
            where all events of the kind do.

    Raises:
        RequestError: The weight is none, or the value is not finite.
    """

    kind: str
    weight: float = 1.0
    at_least: float | None = None

    def __post_init__(self) -> None:
        if not 1 / MAX_WEIGHT <= self.weight <= MAX_WEIGHT:
            raise RequestError(
                f"The weight of {self.kind!r} should be from {1 / MAX_WEIGHT:g} to {MAX_WEIGHT:g}, "
                f"and is {self.weight:g}. Leave out a kind that is not to count."
            )
        if self.at_least is not None and not math.isfinite(self.at_least):
            raise RequestError(f"The least value of {self.kind!r} should be a finite number.")

    @classmethod
    def parse(cls, stated: str) -> "EventWeight":
        """Read what is written as `KIND=WEIGHT`, or `KIND=WEIGHT@VALUE` for values from one on.

        Raises:
            RequestError: It is not of this form.
        """
        found = _STATED.fullmatch(stated)
        try:
            if found is None:
                raise ValueError
            least = found["at_least"]
            return cls(
                found["kind"], float(found["weight"]), None if least is None else float(least)
            )
        except ValueError:
            raise RequestError(
                f"{stated!r} is no weight of an event. Write one such as purchase=5, or "
                "visit=2@30 for visits whose value is at least 30."
            ) from None


def counted_events(
    clicks: str | Iterable[str], weights: Iterable[EventWeight] = ()
) -> tuple[EventWeight, ...]:
    """Return what counts, the weightiest first, so that the first that fits an event is its own.

    Args:
        clicks: The kinds that count as clicks, each worth 1 where `weights` does not name it.
        weights: Kinds with their weights; one of them may come with several least values.

    Raises:
        RequestError: Nothing counts, or one thing has two weights.
    """
    stated = list(weights)
    named = {each.kind for each in stated}
    kinds = dict.fromkeys([clicks] if isinstance(clicks, str) else clicks)
    counted = stated + [EventWeight(kind) for kind in kinds if kind not in named]
    if not counted:
        raise RequestError("No kind of event counts as a click. Name one, such as 'click'.")
    weight_of: dict[tuple[str, float | None], float] = {}
    for each in counted:
        if weight_of.setdefault((each.kind, each.at_least), each.weight) != each.weight:
            raise RequestError(f"The kind of event {each.kind!r} has two weights. Name one.")
    # Of two with one weight, the one that asks less comes first.
    return tuple(
        sorted(
            dict.fromkeys(counted),
            key=lambda each: (
                -each.weight,
                each.kind,
                -math.inf if each.at_least is None else each.at_least,
            ),
        )
    )
