"""Some of the test queries that have something in common, and what became of them."""

from dataclasses import dataclass
from typing import Any, Literal

from hooktune.contract.interval import Interval
from hooktune.contract.listing import Record
from hooktune.contract.metric import MainMetric

SliceKind = Literal["frequency", "training", "length", "results", "label"]
"""What queries are told apart by: how often they are searched, whether one like them was trained
on, how many words they have, how many results they show, or a label of their searches, such as a
market."""


@dataclass(frozen=True, repr=False)
class QuerySlice(Record):
    """Those test queries that have something in common, by one metric."""

    kind: SliceKind
    name: str
    """What they have in common, as it follows the word "queries"."""
    metric: MainMetric
    interval: Interval
    """How far the metric is from the starting model's. Its `p` is corrected for the number of
    slices that are compared by the metric."""

    @property
    def verdict(self) -> Literal["better", "worse", "unknown"]:
        """What became of these queries, or that it can't be told."""
        return self.interval.verdict(greater_is_better=self.metric.greater_is_better)

    def as_row(self) -> dict[str, Any]:
        """Return what the queries have in common, and what became of them."""
        return {
            "queries_with": self.name,
            "kind": self.kind,
            "metric": self.metric.name,
            "verdict": self.verdict,
            **self.interval.as_json(),
        }
