"""A short try of an iteration's work, by which it is told beforehand what all of it takes."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa

from hooktune.contract.encoding import Task
from hooktune.contract.seeding import seeded_alone
from hooktune.contract.sessions import Ints, Sessions, TrainingBatch
from hooktune.evaluation.baseline import always_frozen
from hooktune.evaluation.evaluator import Evaluator
from hooktune.iteration.plan import Plan
from hooktune.iteration.starting_model import load_starting_model
from hooktune.iteration.tracked_run import TrackedRun
from hooktune.plugin.host import Host
from hooktune.progress import phase
from hooktune.tracking import Tracker
from hooktune.training.embeddings import embed_column, in_eval_mode
from hooktune.training.encoder import TextEncoder

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer

    from hooktune.tracking.outbox.metric_log import MetricLog

_TEXTS: Final = 96
_GROUPS: Final = 8
_SESSIONS: Final = 64
_SECONDS: Final = 8.0
_FEWEST_STEPS: Final = 4


@dataclass(frozen=True)
class Rate:
    """How many seconds something takes, by its mean and the 95 % interval of that."""

    mean: float
    low: float
    high: float

    @staticmethod
    def of(seconds: Sequence[float]) -> "Rate":
        """Return the rate that some measured values give; one value alone may be off by half."""
        mean = float(np.mean(seconds))
        if len(seconds) < 2:
            return Rate(mean, mean / 2, mean * 2)
        from scipy.stats import t

        off = float(t.ppf(0.975, len(seconds) - 1) * np.std(seconds, ddof=1) / len(seconds) ** 0.5)
        return Rate(mean, max(mean - off, 0.0), mean + off)

    def times(self, count: float) -> "Rate":
        """Return what so many of them take, one after the other."""
        return Rate(self.mean * count, self.low * count, self.high * count)

    def plus(self, other: "Rate") -> "Rate":
        """Return what both take, one after the other; nothing makes up for a slow one."""
        return Rate(self.mean + other.mean, self.low + other.low, self.high + other.high)


@dataclass(frozen=True)
class Probe:
    """What was measured; texts are those of a random sample, and so are the sessions."""

    loading: float
    """Seconds to load the starting model."""
    first: dict[Task, Rate]
    """Seconds to encode a text for the first time."""
    again: dict[Task, Rate]
    """Seconds to encode one whose frozen layers' results are kept."""
    tokens: dict[Task, float]
    """How many tokens a text has; 0 where the model reads none."""
    step: Rate | None
    """Seconds of a training step; None where the method tells of no steps."""
    fit: float
    """Seconds that the method took on the sample, where it tells of no steps."""
    steps: int
    """How many steps it wants to take on the sample."""
    sessions: int
    """How many sessions the sample has."""
    model_bytes: int
    trained_bytes: int
    """Of the weights that are trained."""
    width: int
    """Of the states that are kept of frozen layers; 0 where none are."""
    dimension: int
    """Of the embeddings."""


class _Deadline(Event):
    """Asks the method to stop once enough was seen of it."""

    def __init__(self, steps: list[float]) -> None:
        super().__init__()
        self._steps, self._end = steps, time.monotonic() + _SECONDS

    def is_set(self) -> bool:
        """Tell whether to stop."""
        return len(self._steps) > _FEWEST_STEPS and time.monotonic() > self._end


@dataclass
class _Watch:
    """Notes when steps were done, and how many there will be."""

    total: int = 0
    at: list[float] = field(default_factory=list)

    def expect(self, steps: int) -> None:
        self.total = steps

    def show(self, step: int, loss: float) -> None:  # noqa: ARG002 - as `RunProgress` has it
        self.at.append(time.monotonic())


class _Nowhere:
    """Takes metric points and keeps none."""

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        pass


@dataclass(eq=False)
class _TriedRun(TrackedRun):
    """A run of which nothing is kept, and whose evaluations cost nothing: those are timed apart."""

    def evaluate(self, model: "SentenceTransformer", step: int) -> dict[str, float]:  # noqa: ARG002
        return {self.main_metric.name: 0.0, "test_loss": 0.0}


def probe(tracker: Tracker, host: Host, sessions: Sessions, plan: Plan, device: str) -> Probe:
    """Try for some seconds what an iteration is going to do; nothing is stored.

    Args:
        tracker: The tracking store, which may hold the starting model.
        host: The iteration's plugins.
        sessions: Those of the batch.
        plan: What is going to be done; it holds a run.
        device: The torch device.

    Raises:
        PluginError: The method failed.
    """
    settings, random = plan.settings, np.random.default_rng(plan.settings.seed)
    began = time.monotonic()
    model = load_starting_model(tracker, host, plan, device)
    loading = time.monotonic() - began
    depth = always_frozen(model, plan.possible_sets())
    some = _some_sessions(sessions.take(plan.split.train), random)
    encoder = TextEncoder(model, depth)
    first: dict[Task, Rate] = {}
    again: dict[Task, Rate] = {}
    tokens: dict[Task, float] = {}
    columns: tuple[tuple[Task, pa.LargeStringArray], ...] = (
        ("query", sessions.queries), ("document", sessions.items),
    )  # fmt: skip
    with phase("timing how texts are encoded", 2 * len(columns) * _TEXTS):
        for task, texts in columns:
            groups = _groups(texts, random)
            first[task] = _rate_of(encoder, groups, task)
            again[task] = _rate_of(encoder, groups, task)
            lengths = [encoder.column(group, task) for group in groups]
            known = [column.lengths.mean() for column in lengths if column.tokens is not None]
            tokens[task] = float(np.mean(known)) if known else 0.0
    with phase("timing some steps of training"), seeded_alone(settings.seed):
        watch, fit = _try_method(host, encoder, some, plan, random)
    gaps = np.diff(watch.at)[1:].tolist()
    return Probe(
        loading, first, again, tokens,
        Rate.of(gaps) if gaps else None, fit, watch.total, len(some),
        sum(_bytes(weight) for weight in model.state_dict().values()),
        sum(_bytes(weight) for weight in model.parameters() if weight.requires_grad),
        encoder.kept_width, model.get_embedding_dimension() or 0,
    )  # fmt: skip


def _try_method(
    host: Host, encoder: TextEncoder, some: Sessions, plan: Plan, random: np.random.Generator
) -> tuple[_Watch, float]:
    baseline = random.uniform(0.2, 0.8, some.result_count).astype(np.float32)
    watch = _Watch()
    run = _TriedRun(
        plan.settings.seed,
        plan.settings.main_metric,
        Evaluator(host, some, baseline, encoder),
        cast("MetricLog", _Nowhere()),
        watch,
        _Deadline(watch.at),
    )
    _fill(encoder, some)
    params: BaseModel | None = plan.first_set
    began = time.monotonic()
    host.fit_batch(
        run, deepcopy(encoder.model), TrainingBatch(plan.name.batch_id, some, baseline), params
    )
    return watch, time.monotonic() - began


def _fill(encoder: TextEncoder, sessions: Sessions) -> None:
    """Encode the texts of some sessions, as the baseline does it before the first run."""
    reader = encoder.reader(encoder.model)
    with in_eval_mode(encoder.model):
        embed_column(reader, sessions.queries, np.unique(sessions.query_index), "query")
        embed_column(reader, sessions.items, np.unique(sessions.item_index), "document")


def _rate_of(encoder: TextEncoder, groups: Sequence[pa.LargeStringArray], task: Task) -> Rate:
    """Measure how long a text takes; the first group is encoded before, as first uses are slow."""

    def encode(group: pa.LargeStringArray) -> None:
        embed_column(reader, group, np.arange(len(group)), task)

    reader = encoder.reader(encoder.model)
    with in_eval_mode(encoder.model):
        _timed(lambda: encode(groups[0].slice(0)))
        return Rate.of([_timed(lambda g=group: encode(g)) / len(group) for group in groups])  # type: ignore[misc]


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _groups(texts: pa.LargeStringArray, random: np.random.Generator) -> list[pa.LargeStringArray]:
    """Draw texts of a column into groups of equal size."""
    count = min(_TEXTS, len(texts))
    drawn = random.choice(len(texts), count, replace=False)
    return [
        texts.take(pa.array(group)) for group in np.array_split(drawn, math.ceil(count / _GROUPS))
    ]


def _some_sessions(sessions: Sessions, random: np.random.Generator) -> Sessions:
    """Draw sessions, all of a query's together, with no texts but their own."""
    queries = random.permutation(np.unique(sessions.query_index))
    counts = np.bincount(sessions.query_index, minlength=int(queries.max()) + 1)[queries]
    enough = int(np.searchsorted(np.cumsum(counts), _SESSIONS)) + 1
    some = sessions.take(np.flatnonzero(np.isin(sessions.query_index, queries[:enough])))
    query_rows, query_index = _renumbered(some.query_index)
    item_rows, item_index = _renumbered(some.item_index)
    return replace(
        some,
        queries=some.queries.take(pa.array(query_rows)),
        query_index=query_index,
        items=some.items.take(pa.array(item_rows)),
        item_index=item_index,
    )


def _renumbered(index: Ints) -> tuple[Ints, Ints]:
    rows, places = np.unique(index, return_inverse=True)
    return rows, places.astype(index.dtype)


def _bytes(weight: Any) -> int:
    return int(weight.numel() * weight.element_size())
