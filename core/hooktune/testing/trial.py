"""A method at work on made-up sessions, without a tracking store, and what it did there."""

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt

from hooktune.contract.metric import Accumulation, MainMetric, problem_of_point
from hooktune.contract.seeding import seeded
from hooktune.contract.sessions import Floats, Sessions, TrainingBatch
from hooktune.contract.settings import IterationSettings, MethodSettings
from hooktune.evaluation.evaluator import Evaluator
from hooktune.iteration.search import parse_params
from hooktune.iteration.tracked_run import TrackedRun
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.checks import imported_plugin
from hooktune.plugin.host import Host
from hooktune.processes import scratch_folder
from hooktune.testing.made_up import made_up_sessions
from hooktune.testing.subject import Subject
from hooktune.testing.surroundings import AMBIENT_SEED, watched
from hooktune.tracking.models.loading import quiet_loading
from hooktune.training.encoder import TextEncoder
from hooktune.training.scoring import score_results

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer

    from hooktune.tracking.outbox.metric_log import MetricLog

SEED: Final = 7
_BATCH_ID: Final = "0" * 24


class Stop(Event):
    """The user's wish to stop, which counts how often it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def is_set(self) -> bool:
        """Tell whether to stop."""
        self.asked += 1
        return super().is_set()


@dataclass
class Points:
    """Keeps a run's metric points in memory; takes the place of a `MetricLog`."""

    logged: list[tuple[dict[str, float], int]] = field(default_factory=list)

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Take one point of each metric at a step."""
        self.logged.append((dict(metrics), step))


class NoProgress:
    """Shows nothing of a run's progress."""

    def expect(self, steps: int) -> None:
        """Take how many steps there will be."""

    def show(self, step: int, loss: float) -> None:
        """Take how many steps are done."""


@dataclass(eq=False)
class TriedRun(TrackedRun):
    """Notes what `log` refuses, so that a check of its own can tell it."""

    refused: list[str] = field(default_factory=list)

    def log(
        self,
        metrics: Mapping[str, float],
        step: int,
        accumulate: Iterable[Accumulation] = ("mean", "sliding"),
    ) -> None:
        """See `ActiveRun.log`."""
        if problem := problem_of_point(metrics, step):
            self.refused.append(problem)
        else:
            super().log(metrics, step, accumulate)


@dataclass(frozen=True)
class Fit:
    """What one run of `fit_batch` came to."""

    model: "SentenceTransformer"
    metrics: dict[str, float]
    """Of the returned model, as the host measures it at the end."""
    points: list[tuple[dict[str, float], int]]
    """What the method logged, with the steps."""
    refused: tuple[str, ...]
    """What `run.log` had to refuse, in words."""
    asked: int
    """How often it asked whether to stop."""
    changes: dict[str, str]
    """What it changed of its surroundings, which were put back."""
    changed_columns: tuple[str, ...]
    """What it changed of its batch."""


@dataclass(eq=False)
class Trial:
    """A method with the host, the model and the sessions that it is tried with.

    Args:
        subject: The method.
        given_params: Hyper-parameters other than the defaults.
        given_model: What it is to tune, and to be offered as the initial model.
    """

    subject: Subject
    given_params: Mapping[str, Any]
    given_model: "SentenceTransformer"
    starting_model: "SentenceTransformer" = field(init=False)

    def __post_init__(self) -> None:
        self.starting_model = self.given_model

    @cached_property
    def host(self) -> Host:
        """The method beside the bundled metrics, by which it is judged."""
        bundled = read_catalogue(only=["hooktune"]).available("extension")
        return Host(self.subject.plugin, map(imported_plugin, bundled))

    @cached_property
    def params(self) -> "BaseModel | None":
        """The hyper-parameters of all runs."""
        space = self.host.hyper_parameters()
        given = parse_params(space, self.given_params)
        return None if space is None else space(**given)

    @cached_property
    def main_metric(self) -> MainMetric:
        """What the method is judged by."""
        return self.host.main_metric() or MainMetric()

    @cached_property
    def parts(self) -> tuple[Sessions, Sessions]:
        """The training and the test sessions."""
        sessions = made_up_sessions()
        split = IterationSettings(seed=SEED).split(sessions)
        return sessions.take(split.train), sessions.take(split.test)

    @cached_property
    def first_fit(self) -> Fit:
        """The run on the training sessions that most checks look at."""
        return self.fit(self.parts[0])

    @property
    def changes(self) -> dict[str, str]:
        """What that run changed of its surroundings."""
        return self.first_fit.changes

    def initial_model(self) -> "SentenceTransformer":
        """Ask the method for its initial model, naming a folder that holds the given one."""
        with (
            scratch_folder() as folder,
            seeded(SEED),
            quiet_loading(),
        ):
            self.given_model.save_pretrained(str(folder))
            return self.host.initial_model(MethodSettings(str(folder), SEED, "cpu"))

    def fit(self, train: Sessions, *, stopped: bool = False) -> Fit:
        """Let the method tune a copy of the starting model, as the host would.

        Args:
            train: The training sessions.
            stopped: Ask it to stop from the outset.
        """
        batch = TrainingBatch(_BATCH_ID, train, score_results(self.starting_model, train))
        points, stop = Points(), Stop()
        if stopped:
            stop.set()
        run = TriedRun(
            SEED, self.main_metric, self._evaluator, cast("MetricLog", points), NoProgress(), stop
        )
        model = copy.deepcopy(self.starting_model)
        columns = digests(batch)
        with seeded(AMBIENT_SEED), watched() as changes:
            tuned = self.host.fit_batch(run, model, batch, self.params)
        logged = list(points.logged)
        return Fit(
            tuned,
            run.evaluate(tuned, run.last_step),
            logged,
            tuple(run.refused),
            stop.asked,
            changes,
            tuple(name for name, digest in digests(batch).items() if digest != columns[name]),
        )

    @cached_property
    def _evaluator(self) -> Evaluator:
        test, encoder = self.parts[1], TextEncoder(self.starting_model)
        scores = score_results(self.starting_model, test, encoder)
        return Evaluator(self.host, test, scores, encoder)


def embeddings(model: "SentenceTransformer", sessions: Sessions) -> Floats:
    """Return the embeddings of some sessions' queries and items, one below the other."""
    queries, items = sessions.queries.to_pylist(), sessions.items.to_pylist()
    return np.concatenate(
        [
            np.asarray(model.encode_query(queries, show_progress_bar=False)),
            np.asarray(model.encode_document(items, show_progress_bar=False)),
        ]
    )


def digests(columns: object) -> dict[str, str]:
    """Return a digest of each array that an object or one of its parts holds, by its name."""
    found: dict[str, str] = {}
    for column in fields(columns):  # type: ignore[arg-type]
        value = getattr(columns, column.name)
        if isinstance(value, Sessions):
            found |= {f"{column.name}.{name}": digest for name, digest in digests(value).items()}
        elif isinstance(value, np.ndarray):
            found[column.name] = _digest(value)
    if isinstance(columns, Sessions):
        found |= {name: _digest(getattr(columns, name)) for name in _DERIVED}
    return found


_DERIVED: Final = ("lengths", "session_index", "positions", "clicked", "not_irrelevant")


def _digest(values: npt.NDArray[Any]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes()).hexdigest()
