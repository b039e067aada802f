"""The checks of `compute_metrics`, and those of a plugin that is no method."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel

from hooktune.contract.hooks import hookimpl
from hooktune.contract.metric import TEST_PREFIX, TRAIN_PREFIX, MainMetric
from hooktune.contract.outcome import Addresses, Outcome
from hooktune.contract.seeding import seeded
from hooktune.contract.sessions import Floats, Sessions, TrainingBatch
from hooktune.contract.settings import MethodSettings
from hooktune.errors import HooktuneError, PluginError
from hooktune.evaluation.evaluator import Evaluator
from hooktune.iteration.tracked_run import TrackedRun
from hooktune.plugin.checks import OBSERVER_HOOKS, Plugin, implementations
from hooktune.plugin.host import Host
from hooktune.testing.made_up import made_up_sessions, tiny_model
from hooktune.testing.report import Check, Fault, check_of
from hooktune.testing.shared_checks import light_import, surroundings_left_alone
from hooktune.testing.subject import Subject
from hooktune.testing.surroundings import AMBIENT_SEED, watched
from hooktune.testing.trial import SEED, NoProgress, Points, Stop, digests
from hooktune.training.encoder import TextEncoder
from hooktune.training.scoring import score_results

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.tracking.outbox.metric_log import MetricLog

_FAILING: Final = "f" * 24
"""The id of the batch on which the stand-in method fails."""

_KEPT: Final = Outcome(
    "stand-in", "0" * 24, "1" * 32, "FINISHED", {"test_mrr": 0.5}, {"test_mrr": 0.4},
    Addresses("https://mlflow.example.com", f"runs:/{'1' * 32}/model", "https://mlflow.example.com"),
)  # fmt: skip
_NOT_KEPT: Final = Outcome(
    "stand-in", None, None, "FAILED", {}, {}, Addresses("sqlite:///mlflow.db", None, None)
)
"""What observers are told; nothing of it exists."""


class _Params(BaseModel):
    """The hyper-parameters of the stand-in method: none."""


class _StandInMethod:
    """A method that calls every hook there is and trains nothing."""

    def __init__(self, model: "SentenceTransformer") -> None:
        self.model = model

    @hookimpl
    def upload_initial_model(self) -> "SentenceTransformer":
        return self.model

    @hookimpl
    def hyper_parameters(self) -> type[BaseModel]:
        return _Params

    @hookimpl
    def main_metric(self) -> MainMetric:
        return MainMetric()

    @hookimpl
    def fit_batch(
        self, run: TrackedRun, model: "SentenceTransformer", batch: TrainingBatch
    ) -> "SentenceTransformer":
        if batch.batch_id == _FAILING:
            raise PluginError("The stand-in method fails, as it should.")
        run.log({"train_loss": 1.0}, 1)
        run.log_scores(model, batch.train, batch.baseline, batch.baseline, 1)
        run.evaluate(model, 1)
        return model


@dataclass(frozen=True)
class Evaluation:
    """Some sessions with the scores of two models."""

    sessions: Sessions
    scores: Floats
    baseline: Floats


@dataclass(eq=False)
class MetricTrial:
    """A plugin's metrics and wrappers at work beside a stand-in method.

    Args:
        subject: The plugin.
    """

    subject: Subject

    @cached_property
    def model(self) -> "SentenceTransformer":
        """The model that is measured."""
        return tiny_model()

    @cached_property
    def host(self) -> Host:
        """The plugin alone beside a stand-in method; a method, alone."""
        if self.subject.plugin.kind == "method":
            return Host(self.subject.plugin)
        implementations(self.subject.plugin)  # the host would only leave a broken extension out
        stand_in = Plugin("stand-in", "method", _StandInMethod(self.model))
        return Host(stand_in, [self.subject.plugin])

    @property
    def measured(self) -> Evaluation:
        """Forty sessions with their scores, made anew each time."""
        scores, baseline = self._scores
        return Evaluation(made_up_sessions(), scores.copy(), baseline.copy())

    def metrics(self, of: Evaluation) -> dict[str, float]:
        """Compute the plugin's metrics."""
        measured = self.host.compute_metrics(self.model, of.sessions, of.scores, of.baseline)
        return measured.metrics

    @cached_property
    def changes(self) -> dict[str, str]:
        """What the plugin changes of its surroundings while every hook is called once."""
        of = self.measured
        encoder = TextEncoder(self.model)
        evaluator = Evaluator(self.host, of.sessions, of.baseline, encoder)
        points = cast("MetricLog", Points())
        run = TrackedRun(SEED, MainMetric(), evaluator, points, NoProgress(), Stop())
        with seeded(AMBIENT_SEED), watched() as changes:
            self.host.initial_model(MethodSettings(None, SEED, "cpu"))
            self.host.hyper_parameters()
            self.host.main_metric()
            self.host.describe_metrics()
            for batch_id in ("0" * 24, _FAILING):
                batch = TrainingBatch(batch_id, of.sessions, of.baseline)
                try:
                    self.host.fit_batch(run, self.model, batch, _Params())
                except PluginError:
                    if batch_id != _FAILING:
                        raise
            for hook in OBSERVER_HOOKS:
                self.host.tell(hook, _KEPT)
                self.host.tell(hook, _NOT_KEPT)
        return changes

    @cached_property
    def _scores(self) -> tuple[Floats, Floats]:
        sessions = made_up_sessions()
        return score_results(self.model, sessions), score_results(tiny_model(SEED), sessions)


def hooks(trial: MetricTrial) -> None:
    """Implement metrics or wrap hooks, with arguments that the host hands over."""
    _ = trial.host


def computed_metrics(trial: MetricTrial) -> None:
    """Compute numbers by names that the store takes, without a prefix."""
    for name in trial.metrics(trial.measured):
        known_prefixes = (TRAIN_PREFIX, TEST_PREFIX)
        prefix = next((known for known in known_prefixes if name.startswith(known)), None)
        if prefix is not None:
            raise Fault(
                f"compute_metrics gives {name!r}, and the host adds the prefix {prefix} itself. "
                f"Name it {name.removeprefix(prefix)!r}."
            )


def computed_finite(trial: MetricTrial) -> None:
    """Compute no NaN and nothing infinite."""
    _check_finite(trial.metrics(trial.measured), "forty sessions")


def computed_deterministic(trial: MetricTrial) -> None:
    """Compute the same metrics for the same scores."""
    first, second = trial.metrics(trial.measured), trial.metrics(trial.measured)
    differing = [name for name in first | second if first.get(name) != second.get(name)]
    if differing:
        raise Fault(
            f"{differing[0]!r} differs between two measurements of the same scores. Seed what is "
            "random with a constant, and keep nothing from one call to the next."
        )


def computed_unchanged(trial: MetricTrial) -> None:
    """Leave the sessions and scores alone."""
    of = trial.measured
    before = digests(of)
    trial.metrics(of)
    changed = [name for name, digest in digests(of).items() if digest != before[name]]
    if changed:
        raise Fault(
            f"compute_metrics changed {changed[0]}, which other plugins measure after it. Work on "
            "a copy: array.copy()."
        )


def computed_without_clicks(trial: MetricTrial) -> None:
    """Measure sessions none of which has a click."""
    of = trial.measured
    _check_edge(trial, ~of.sessions.not_irrelevant, "sessions without any click")


def computed_one_session(trial: MetricTrial) -> None:
    """Measure a single session."""
    places = trial.measured.sessions.not_irrelevant.copy()
    places[places.argmax() + 1 :] = False
    _check_edge(trial, places, "a single session")


def observers(trial: MetricTrial) -> None:
    """Observe hooks, which may fail, without failing and without changing their results."""
    _ = trial.changes
    failures = trial.host.failures
    if failures:
        raise Fault(
            f"{failures[0]} Write `return (yield)` in a wrapper, clean up in a `finally`, and let "
            "no failure of your own, such as a lost connection, leave a hook that observes."
        )


def _check_edge(trial: MetricTrial, picked: Any, what: str) -> None:
    of = trial.measured
    sessions, (scores, baseline) = of.sessions.take_with(picked, of.scores, of.baseline)
    part = Evaluation(sessions, scores, baseline)
    try:
        metrics = trial.metrics(part)
    except HooktuneError as error:
        raise Fault(
            f"compute_metrics fails on {what}: {error} Leave a metric out where it is undefined."
        ) from error
    _check_finite(metrics, what)


def _check_finite(metrics: Mapping[str, float], what: str) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise Fault(
                f"{name!r} is {value} for {what}. Leave a metric out of the dict where it is "
                "undefined, and mind sums over nothing."
            )


METRIC_CHECKS: Final[tuple[Check[MetricTrial], ...]] = (
    check_of(computed_metrics),
    check_of(computed_finite, "computed_metrics"),
    check_of(computed_deterministic, "computed_metrics", "computed_finite"),
    check_of(computed_unchanged, "computed_metrics"),
    check_of(computed_without_clicks, "computed_metrics", "computed_finite"),
    check_of(computed_one_session, "computed_metrics", "computed_finite"),
)
EXTENSION_CHECKS: Final[tuple[Check[MetricTrial], ...]] = (
    check_of(hooks),
    Check("light_import", light_import),
    *(replace(check, needs=("hooks", *check.needs)) for check in METRIC_CHECKS),
    check_of(observers, "computed_metrics"),
    *surroundings_left_alone("computed_metrics"),
)
