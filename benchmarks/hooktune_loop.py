"""The Default Fine Tuning Method, called as the host calls it."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, cast

from sentence_transformers import SentenceTransformer

from hooktune import MainMetric, MethodSettings, TrainingBatch
from hooktune.contract.seeding import seeded
from hooktune.evaluation.evaluator import Evaluator
from hooktune.iteration.tracked_run import TrackedRun
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.host import Host
from hooktune.plugin.opening import open_host
from hooktune.testing.trial import NoProgress
from hooktune.tracking.models.loading import quiet_loading
from hooktune.training.encoder import TextEncoder
from hooktune.training.optimizer import frozen_layer_count
from hooktune.training.scoring import score_results
from measuring import Pace, Phases
from product_search import SEED, Parts

if TYPE_CHECKING:
    from hooktune.tracking.outbox.metric_log import MetricLog

METHOD = "Default Fine Tuning Method"
PAIRS_ALONE: Mapping[str, Any] = {"loss": "pairs", "query_map": 0, "weights_kept": 1}
"""Training by pairs, of which all is kept, without a map on top."""
ALL_LAYERS: Mapping[str, Any] = {
    **PAIRS_ALONE,
    "frozen_layers": 0,
    "negatives_per_session": None,
    "evaluations_per_epoch": 0,
    "confidence": "constant",
}
"""The work of the plain loop: all layers, all results, all pairs alike, nothing measured."""
BATCH_ID = "0" * 24


def open_default() -> Host:
    """Open a host with the method and the bundled metrics."""
    return open_host(read_catalogue(only=["hooktune"]), METHOD)


def load_model(folder: str | None, device: str) -> SentenceTransformer:
    """Load the initial model of the method, or the one in a folder."""
    with quiet_loading():
        return open_default().initial_model(MethodSettings(folder, SEED, device))


@dataclass
class PacedPoints:
    """Keeps a run's metric points in memory, in the place of a `MetricLog`, and notes its steps."""

    pace: Pace
    logged: list[tuple[dict[str, float], int]] = field(default_factory=list)

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Take one point of each metric at a step."""
        self.logged.append((dict(metrics), step))
        if "train_loss" in metrics:
            self.pace.step()


class _End(Event):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace

    def is_set(self) -> bool:
        return self.pace.over


def train_with_hooktune(
    model: SentenceTransformer,
    parts: Parts,
    pace: Pace,
    phases: Phases,
    params: Mapping[str, Any],
) -> SentenceTransformer:
    """Let the method tune a model, with a run that keeps its metrics in memory.

    The similarities before tuning, which the host computes once for all runs of an iteration, are
    the phase `baseline`.
    """
    host = open_default()
    space = host.hyper_parameters()
    assert space is not None
    chosen = space(**params)
    encoder = TextEncoder(copy.deepcopy(model), frozen_layer_count(model, chosen.frozen_layers))
    scores = score_results(model, parts.train, encoder)
    train = TrainingBatch(BATCH_ID, parts.train, scores)
    measure = Evaluator(host, parts.test, score_results(model, parts.test, encoder), encoder)
    phases.end("baseline")
    points = cast("MetricLog", PacedPoints(pace))
    run = TrackedRun(SEED, MainMetric(), measure, points, NoProgress(), _End(pace))
    pace.start()
    with seeded(SEED):
        return host.fit_batch(run, model, train, chosen)
