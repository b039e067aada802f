"""Which metrics can be tracked, their running means, and which of two values is better."""

import math
import numbers
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar, get_args

from hooktune.errors import RequestError
from hooktune.naming import problem_of_key
from hooktune.plain_text import kind_of

Value = TypeVar("Value")
Accumulation = Literal["mean", "sliding", "min", "max"]
ACCUMULATIONS: Final[tuple[Accumulation, ...]] = get_args(Accumulation)
SLIDING_WINDOW: Final = 10

TRAIN_PREFIX: Final = "train_"
TEST_PREFIX: Final = "test_"
HOLDOUT_PREFIX: Final = "holdout_"
"""What the host puts before the name of a metric: of a mini-batch, of the test sessions, and of
those that no choice has seen."""

LOSS: Final = "loss"
"""The metric that the host computes itself, with the loss that a method gives it."""

_SHORT: Final = 80
RANKING_METRIC: Final = f"{TEST_PREFIX}ndcg_at_10"
"""The metric by which a model's ranking is compared with its starting model's."""
RECIPROCAL_RANK: Final = f"{TEST_PREFIX}mrr"
GAP_METRIC: Final = f"{TEST_PREFIX}dist_shift_gap"
"""The metric that tells whether clicked results gain on those beside them."""
SHOWN_METRICS: Final = (GAP_METRIC, RANKING_METRIC, RECIPROCAL_RANK)
"""What is shown of a model beside its main metric."""


@dataclass(frozen=True)
class MetricDescription:
    """What a plugin tells of a metric that it computes."""

    name: str
    """Without `train_` or `test_`."""
    greater_is_better: bool
    unit: str = ""
    """Such as `ms`; empty for a number without one."""
    description: str = ""
    """What it measures, in a sentence."""


LOSS_DESCRIPTION: Final = MetricDescription(
    LOSS, greater_is_better=False, description="The loss of the method on these sessions."
)


FIT_SECONDS: Final = "fit_seconds"
"""The metric that says how long a run's `fit_batch` took."""

JUDGED_METRIC: Final = "judged_ndcg_at_10"
"""Of judged queries, over all items. It has no prefix, as it is not of the test sessions."""

RESERVED_NAMES: Final = (FIT_SECONDS, JUDGED_METRIC)


@dataclass(frozen=True)
class MainMetric:
    """A metric with its direction: the one that decides which model is best, or a guard."""

    name: str = "test_not_irrelevant_dist_shift"
    greater_is_better: bool = True

    def beats(self, value: float | None, other: float | None) -> bool:
        """Tell whether a value is strictly better; a missing one or a NaN never is."""
        if value is None or math.isnan(value):
            return False
        if other is None or math.isnan(other):
            return True
        return value > other if self.greater_is_better else value < other

    def sort_key(self, value: float | None) -> tuple[bool, float]:
        """Return a key that sorts the best value first and a missing one or a NaN last."""
        if value is None or math.isnan(value):
            return (True, 0.0)
        return (False, -value if self.greater_is_better else value)

    @property
    def direction(self) -> str:
        """Which values are better, in words."""
        return "higher is better" if self.greater_is_better else "lower is better"

    def __str__(self) -> str:
        return f"{self.name}:{'max' if self.greater_is_better else 'min'}"

    @classmethod
    def parse(
        cls, text: str, described: Mapping[str, MetricDescription] = MappingProxyType({})
    ) -> "MainMetric":
        """Read `NAME`, `NAME:max` or `NAME:min`.

        Args:
            text: What a user wrote.
            described: What is known of metrics, by their names without prefix. It gives the
                direction where the text has none; of an unknown metric, higher is better.

        Raises:
            RequestError: The direction is neither `max` nor `min`, or no metric has such a name.
        """
        name, separator, direction = text.rpartition(":")
        if not separator:
            known = described.get(text.removeprefix(TEST_PREFIX))
            name, direction = text, "min" if known and not known.greater_is_better else "max"
        if not name or direction not in ("max", "min"):
            raise RequestError(
                f"{text[:_SHORT]!r} is no metric. "
                "Write NAME, NAME:max (higher is better) or NAME:min."
            )
        if problem := problem_of_key(name):
            raise RequestError(f"{text[:_SHORT]!r} is no metric: it {problem}.")
        return cls(name, direction == "max")


DEFAULT_GUARDS: Final = (MainMetric(RANKING_METRIC), MainMetric(GAP_METRIC))
"""What a model must not be worse by than its starting model, to be kept."""

NO_GUARD: Final = "none"


def parse_guards(
    texts: Iterable[str], described: Mapping[str, MetricDescription] = MappingProxyType({})
) -> tuple[MainMetric, ...]:
    """Read guards as users write them, each as `MainMetric.parse` does; `none` alone is no guard.

    Raises:
        RequestError: One of them is no metric.
    """
    names = [text.strip() for text in texts]
    if names == [NO_GUARD]:
        return ()
    return tuple(dict.fromkeys(MainMetric.parse(name, described) for name in names))


def with_train_prefix(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics of a mini-batch under the names by which they are tracked."""
    return {f"{TRAIN_PREFIX}{name}": value for name, value in metrics.items()}


def with_test_prefix(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """Return metrics of the test sessions under the names by which they are tracked."""
    return {f"{TEST_PREFIX}{name}": value for name, value in metrics.items()}


def with_holdout_prefix(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """Return metrics of the holdout under the names by which they are tracked."""
    return {f"{HOLDOUT_PREFIX}{name}": value for name, value in metrics.items()}


def holdout_name(name: str) -> str:
    """Return what a metric of the test sessions is called on the holdout."""
    return f"{HOLDOUT_PREFIX}{name.removeprefix(TEST_PREFIX)}"


def shown_metrics(*mains: str) -> tuple[str, ...]:
    """Return the metrics that are shown of models: the main ones first, each once."""
    return tuple(dict.fromkeys((*mains, *SHOWN_METRICS)))


def ranking_warning(metrics: Mapping[str, float], starting: Mapping[str, float]) -> str | None:
    """Say that a model ranks worse than its starting model, or None where it does not.

    The main metric can rise without any query being ranked better, by moving all similarities up.
    """
    value, before = metrics.get(RANKING_METRIC), starting.get(RANKING_METRIC)
    if value is None or before is None or not value < before:
        return None
    return (
        f"ranks worse than its starting model: {RANKING_METRIC} is {value:.4f}, "
        f"the starting model has {before:.4f}"
    )


def problem_of_metrics(metrics: object) -> str:
    """Say what keeps the result of `compute_metrics` from being tracked; empty where nothing."""
    if not isinstance(metrics, Mapping):
        return f"it returned {kind_of(metrics)}, not a dict of numbers by name"
    for name, value in metrics.items():
        problem = problem_of_key(name)
        if problem:
            return f"the metric {name!r} {problem}"
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return f"the metric {name!r} is {kind_of(value)}, not a number; convert it with float()"
        try:
            float(value)
        except OverflowError:
            return f"the metric {name!r} is a number that is too great for a float"
    return ""


def problem_of_point(metrics: object, step: object) -> str:
    """Say what keeps metrics from being tracked at a step by `run.log`; empty where nothing."""
    if isinstance(step, bool) or not isinstance(step, numbers.Integral) or step < 0:
        return f"the step {step!r} is no whole number; count the training steps from 1"
    if not isinstance(metrics, Mapping):
        return f"it was given {kind_of(metrics)}, not a dict of numbers by name"
    if problem := problem_of_metrics(metrics):
        return problem
    for name in metrics:
        if name.startswith(TEST_PREFIX) or name in RESERVED_NAMES:
            return (
                f"the metric {name!r} has a name that is kept for what hooktune itself measures; "
                "call it otherwise"
            )
    return ""


@dataclass
class _Series:
    window: deque[float]
    count: int = 0
    total: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf

    def add(self, value: float) -> dict[Accumulation, float]:
        self.count += 1
        self.total += value
        self.window.append(value)
        self.least = min(self.least, value)
        self.greatest = max(self.greatest, value)
        return {
            "mean": self.total / self.count,
            "sliding": sum(self.window) / len(self.window),
            "min": self.least,
            "max": self.greatest,
        }


@dataclass
class Accumulator:
    """Follows metrics over the steps of one run and adds their running figures.

    Args:
        window: How many of a metric's last values its `sliding_` figure is the mean of.
    """

    window: int = SLIDING_WINDOW
    _series: dict[str, _Series] = field(default_factory=dict)

    def state(self) -> dict[str, list[Any]]:
        """Return all that was taken in, as JSON holds it."""
        return {
            name: [list(series.window), series.count, series.total, series.least, series.greatest]
            for name, series in self._series.items()
        }

    def restore(self, state: Mapping[str, list[Any]]) -> None:
        """Go on from what `state` returned."""
        self._series = {
            name: _Series(deque(window, self.window), *figures)
            for name, (window, *figures) in state.items()
        }

    def add(
        self, metrics: Mapping[str, float], accumulations: Iterable[Accumulation]
    ) -> dict[str, float]:
        """Take in one point of each metric.

        A NaN enters no running figure, so that one bad step does not hide all later ones.

        Returns:
            The metrics themselves, and for each accumulation `<accumulation>_<metric>`.
        """
        wanted = tuple(accumulations)
        figures = dict(metrics)
        for name, value in metrics.items():
            if not math.isfinite(value):
                continue
            series = self._series.setdefault(name, _Series(deque(maxlen=self.window)))
            running = series.add(value)
            figures.update({f"{kind}_{name}": running[kind] for kind in wanted})
        return figures
