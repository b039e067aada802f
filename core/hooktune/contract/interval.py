"""How far a difference between two models can be trusted."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self

from pydantic_core import from_json

LEVEL: Final = 0.95
"""How often the interval of a difference is to hold the true one."""

_MANY: Final = 1_000_000
_LEAST_P: Final = 0.001


def p_in_words(p: float) -> str:
    """Write a p-value; none is 0, as chance always leaves something."""
    return f"{p:.3f}" if p >= _LEAST_P else f"below {_LEAST_P}"


@dataclass(frozen=True)
class Interval:
    """The difference of a metric between two models, and what chance may have done to it."""

    difference: float
    """The metric under the second model less that under the first, on the same sessions."""
    low: float
    """The lower end of its 95 % interval; NaN where a single query has the metric."""
    high: float
    """The upper end."""
    p: float
    """How probable a difference as large is, were the models equally good."""
    queries: int
    """How many queries it is known of."""
    more_queries: int | None
    """How many more would show such a difference in four of five cases; None where it shows
    already, or is none at all."""

    def verdict(self, *, greater_is_better: bool) -> Literal["better", "worse", "unknown"]:
        """Say whether the second model is better, worse, or whether that can't be told.

        It is told where the interval does not hold 0 and the test agrees.
        """
        if not self.is_told:
            return "unknown"
        return "better" if (self.difference > 0) == greater_is_better else "worse"

    @property
    def is_told(self) -> bool:
        """Whether chance alone seldom makes such a difference."""
        return (self.low > 0 or self.high < 0) and self.p < 1 - LEVEL

    def in_words(
        self, name: str, *, greater_is_better: bool, rival: str = "the starting model"
    ) -> str:
        """Say in a sentence what a metric tells of the second model beside the first."""
        verdict = self.verdict(greater_is_better=greater_is_better)
        facts = f"{self} on {self.queries} queries"
        if verdict != "unknown":
            return f"By {name} it is {verdict} than {rival}: {facts}, p {p_in_words(self.p)}."
        if self.difference == 0:
            return f"By {name} it equals {rival} on {self.queries} queries."
        return f"By {name} it cannot be told from {rival}: {facts}{self._needed()}."

    def _needed(self) -> str:
        if self.more_queries is None:
            return ""
        if self.more_queries > _MANY:
            return ", and a million more would not tell"
        # The estimate has no more digits than that.
        digits = len(str(self.more_queries))
        return f"; about {round(self.more_queries, min(0, 2 - digits)):,} more are needed"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; NaN becomes None."""
        values = asdict(self)
        return {name: None if _is_nan(value) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_json` returned.

        Raises:
            KeyError: A value is missing.
            TypeError: A value is no number.
            ValueError: A value is no number.
        """
        more = values["more_queries"]
        return cls(
            difference=_number(values["difference"]),
            low=_number(values["low"]),
            high=_number(values["high"]),
            p=_number(values["p"]),
            queries=int(values["queries"]),
            more_queries=None if more is None else int(more),
        )

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.difference:+.4f}"
        return f"{self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def read_intervals(text: str | None) -> dict[str, Interval]:
    """Read intervals by metric from JSON; none where there is no text, or it was edited."""
    try:
        found = from_json(text or "{}")
        return {name: Interval.from_json(values) for name, values in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return {}


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
