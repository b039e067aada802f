"""Which of two methods is better on the same queries, or that it cannot be told."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from hooktune.contract.interval import Interval
from hooktune.contract.listing import Listing, Record
from hooktune.contract.metric import MainMetric
from hooktune.errors import HooktuneError
from hooktune.evaluation.query_figures import QueryFigures, joined, stored_query_figures
from hooktune.evaluation.statistics import holm_corrected, paired_interval

if TYPE_CHECKING:
    from hooktune.tracking import RunRecord, Tracker

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class MethodPair(Record):
    """Two methods by one metric, on the test queries that both have."""

    first: str
    second: str
    metric: MainMetric
    interval: Interval
    """Of the second method's value less the first one's; its `p` is corrected for the number of
    pairs that are compared by the metric."""

    @property
    def better(self) -> str | None:
        """The better one of the two; None where it cannot be told."""
        verdict = self.interval.verdict(greater_is_better=self.metric.greater_is_better)
        return {"better": self.second, "worse": self.first}.get(verdict)

    def as_row(self) -> dict[str, Any]:
        """Return both methods, and what the metric tells of the second beside the first."""
        return {
            "first": self.first,
            "second": self.second,
            "metric": self.metric.name,
            **self.interval.as_json(),
            "better": self.better,
        }

    def __str__(self) -> str:
        told = self.interval.in_words(
            self.metric.name,
            greater_is_better=self.metric.greater_is_better,
            rival=self.first,
        )
        return f"{self.second}: {told[0].lower()}{told[1:]}"


def pairs_of_methods(
    tracker: "Tracker", runs: "Mapping[str, RunRecord]", metrics: Sequence[MainMetric]
) -> Listing[MethodPair]:
    """Compare each two of some methods on the same test queries.

    Args:
        tracker: The tracking store.
        runs: The run that stands for each method, the best one first; their iterations have the
            same test queries.
        metrics: By which to compare them.
    """
    figures = {
        method: found
        for method, run in runs.items()
        if (found := _figures(tracker, run)) is not None
    }
    pairs = []
    for metric in metrics:
        of_metric = [
            MethodPair(first, second, metric, paired_interval(before, after, sessions))
            for second, first in combinations(figures, 2)
            for before, after, sessions in [joined(figures[first], figures[second], metric.name)]
            if len(before)
        ]
        corrected = holm_corrected([pair.interval for pair in of_metric])
        pairs += [
            replace(pair, interval=interval)
            for pair, interval in zip(of_metric, corrected, strict=True)
        ]
    return Listing(pairs)


def _figures(tracker: "Tracker", run: "RunRecord") -> QueryFigures | None:
    try:
        return stored_query_figures(tracker, run)
    except HooktuneError as error:
        logger.warning("%s is compared without its queries: %s", run.method, error)
        return None
