"""The run that a method is at work for: where its metrics go, and what it goes on from."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from hooktune.contract.checkpoint import Checkpoint, StateGiver
from hooktune.contract.metric import (
    FIT_SECONDS,
    LOSS,
    Accumulation,
    Accumulator,
    MainMetric,
    problem_of_point,
    with_test_prefix,
    with_train_prefix,
)
from hooktune.contract.sessions import Floats, Sessions
from hooktune.errors import HooktuneError, PluginError
from hooktune.evaluation.evaluator import Evaluation, Evaluator
from hooktune.iteration.courses import RunCourse
from hooktune.iteration.fingerprint import fingerprint
from hooktune.training.encoder import TextEncoder
from hooktune.training.process_group import ALONE, ProcessGroup

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.tracking.checkpoints import Checkpoints
    from hooktune.tracking.outbox.metric_log import MetricLog
    from hooktune.tracking.stored_points import StoredPoints

logger = logging.getLogger(__name__)


class RunProgress(Protocol):
    """Shows how far a run has come."""

    def expect(self, steps: int) -> None:
        """Take how many steps there will be at most."""
        ...

    def show(self, step: int, loss: float) -> None:
        """Take how many steps are done, and the present loss."""
        ...


class RunOfProcess:
    """What a run tells of its process, be it the one that leads or one that follows."""

    evaluator: Evaluator
    group: ProcessGroup

    @property
    def device(self) -> str:
        """See `ActiveRun.device`."""
        return str(self.encoder.model.device)

    @property
    def rank(self) -> int:
        """See `ActiveRun.rank`."""
        return self.group.rank

    @property
    def world_size(self) -> int:
        """See `ActiveRun.world_size`."""
        return self.group.size

    @property
    def encoder(self) -> TextEncoder:
        """See `ActiveRun.encoder`."""
        return self.evaluator.encoder


@dataclass(eq=False)
class TrackedRun(RunOfProcess):
    """What `fit_batch` gets as `run`: see `hooktune.contract.active_run.ActiveRun`."""

    seed: int
    main_metric: MainMetric
    evaluator: Evaluator
    metric_log: "MetricLog"
    progress: RunProgress
    stop: Event
    check: Callable[[], None] = lambda: None
    """Raises where the run is no longer this process's own."""
    checkpoints: "Checkpoints | None" = None
    """Where the state is kept; None where it is not."""
    stored: "StoredPoints | None" = None
    """What an earlier process has logged; None for a run that begins now."""
    group: ProcessGroup = ALONE
    starting_scores: Floats | None = None
    """The starting model's similarity for each result of the test sessions, where it is known."""
    course: RunCourse | None = None
    """Follows how the run comes along, and stops it where it falls behind."""
    starting_metrics: dict[str, float] = field(default_factory=dict)
    """What the starting model has under the run's own loss."""
    last_step: int = 0
    _began: float = field(default_factory=time.monotonic)
    _loss: Callable[[Sessions, Floats], float] | None = None
    _accumulator: Accumulator = field(default_factory=Accumulator)
    _evaluations: dict[bytes, Evaluation] = field(default_factory=dict)
    _failure: Exception | None = None
    """What has failed here and not in the processes that follow, which are to be told."""

    def expect_steps(self, count: int) -> None:
        """See `ActiveRun.expect_steps`."""
        self.progress.expect(count)
        if self.course is not None:
            self.course.steps = count

    def use_loss(self, loss: Callable[[Sessions, Floats], float]) -> None:
        """See `ActiveRun.use_loss`."""
        self._loss = loss
        if self.starting_scores is not None:
            with self._keeping_failure():
                value = loss(self.evaluator.sessions, self.starting_scores)
                self.starting_metrics = with_test_prefix({LOSS: value})

    def log(
        self,
        metrics: Mapping[str, float],
        step: int,
        accumulate: Iterable[Accumulation] = ("mean", "sliding"),
    ) -> None:
        """See `ActiveRun.log`."""
        check_point(metrics, step)
        with self._keeping_failure():
            self._log(metrics, step, accumulate)

    def log_fit_seconds(self, seconds: float | None = None) -> None:
        """Track how long the method took, once it has ended: by default since the run began."""
        taken = self.seconds if seconds is None else seconds
        with self._keeping_failure():
            self._log({FIT_SECONDS: taken}, self.last_step, ())

    def _log(
        self, metrics: Mapping[str, float], step: int, accumulate: Iterable[Accumulation]
    ) -> None:
        self.check()
        self.last_step = max(self.last_step, step)
        points = self._accumulator.add(metrics, accumulate)
        self._add(points, step)
        if "train_loss" in metrics:
            self.progress.show(step, points.get("sliding_train_loss", math.nan))

    def log_scores(
        self,
        model: "SentenceTransformer",
        sessions: Sessions,
        scores: Floats,
        baseline: Floats,
        step: int,
    ) -> None:
        """See `ActiveRun.log_scores`."""
        check_point({}, step)
        with self._keeping_failure():
            measured = self.evaluator.host.compute_metrics(model, sessions, scores, baseline)
            self._log(with_train_prefix(measured.metrics), step, ("mean", "sliding"))

    def evaluate(self, model: "SentenceTransformer", step: int) -> dict[str, float]:
        """See `ActiveRun.evaluate`."""
        check_point({}, step)
        return dict(self.evaluation_of(model, step).metrics)

    def evaluation_of(
        self, model: "SentenceTransformer", step: int, *, is_last: bool = False
    ) -> Evaluation:
        """Evaluate a model; what was found of one before is not encoded again.

        Args:
            model: The model.
            step: The training step that it stands for.
            is_last: Whether all is needed that a run ends with: the metrics of each session, and
                those over the whole collection. A checkpoint does not keep the former, so that a
                model evaluated before it is encoded again.
        """
        key = fingerprint(model)

        def known() -> Evaluation | None:
            found = self._evaluations.get(key)
            return None if found and is_last and found.per_session is None else found

        evaluation: Evaluation | None = self._lead(known)
        embedded = None
        if self.evaluator.has_to_search(evaluation, is_last=is_last):
            # What has to end soon is not to begin what is dear.
            is_stopped = self._lead(lambda: self.stop.is_set() or self.is_pruned)
            embedded = None if is_stopped else self.evaluator.embed(model)
        if evaluation is None:
            scores = self.evaluator.scores(model, embedded)
            evaluation = self._lead(lambda: self.evaluator.in_full(model, scores, self._loss))
        if embedded is not None:
            found = evaluation
            evaluation = self._lead(lambda: self.evaluator.with_collection(found, embedded))
        self._evaluations[key] = evaluation
        self.last_step = max(self.last_step, step)
        with self._keeping_failure():
            self._add(evaluation.metrics, step)
            if self.course is not None and not is_last:
                self.course.look(step, evaluation.per_session or {})
        return evaluation

    @property
    def seconds(self) -> float:
        """How long the run has taken, in all the processes that were at work on it."""
        return time.monotonic() - self._began

    def checkpoint(self, step: int, state: StateGiver) -> None:
        """See `ActiveRun.checkpoint`."""
        if self.checkpoints is not None and self.checkpoints.is_due():
            with self._keeping_failure():
                self._keep(step, state, self.checkpoints)

    def _keep(self, step: int, state: StateGiver, checkpoints: "Checkpoints") -> None:
        self.check()
        tensors, facts = state()
        own = {
            "seconds": self.seconds,
            "last_step": self.last_step,
            "accumulator": self._accumulator.state(),
            "measured": {
                key.hex(): evaluation.as_json() for key, evaluation in self._evaluations.items()
            },
            "logged_until": self._logged_until(),
            "course": None if self.course is None else self.course.state(),
        }
        try:
            # Whoever goes on from here does not log again what came before.
            self.metric_log.flush()
        except HooktuneError as error:
            logger.warning("no checkpoint is kept now: %s", error)
            return
        checkpoints.write(Checkpoint(step, tensors, {"run": own, "method": facts}))

    def resumed(self) -> Checkpoint | None:
        """See `ActiveRun.resumed`."""
        resumed: Checkpoint | None = self._lead(self._resume)
        return resumed

    def _resume(self) -> Checkpoint | None:
        found = None if self.checkpoints is None else self.checkpoints.read()
        if found is None:
            return None
        own = found.facts["run"]
        self._began = time.monotonic() - own["seconds"]
        self.last_step = own["last_step"]
        self._accumulator.restore(own["accumulator"])
        self._evaluations = {
            bytes.fromhex(key): Evaluation.from_json(value)
            for key, value in own["measured"].items()
            if "sample" in value  # not in checkpoints of earlier versions; measured anew then
        }
        if self.course is not None:
            self.course.restore(own.get("course"))
        if self.stored is not None:
            self.stored.expect_after(own["logged_until"])
        logger.info("going on after step %d", found.step)
        return Checkpoint(found.step, found.tensors, found.facts["method"])

    def should_stop(self) -> bool:
        """See `ActiveRun.should_stop`."""
        return bool(self._lead(lambda: self.stop.is_set() or self.is_pruned))

    @property
    def is_pruned(self) -> bool:
        """Whether the run has fallen behind others and is to end."""
        return self.course is not None and self.course.reason is not None

    def _lead(self, work: Callable[[], Any]) -> Any:
        """Do what the processes that follow wait for, and tell them what has failed till then."""

        def work_or_fail() -> Any:
            if self._failure is not None:
                raise self._failure
            return work()

        return self.group.lead(work_or_fail)

    @contextmanager
    def _keeping_failure(self) -> Iterator[None]:
        """Keep a failure until the next call that all processes make, as one alone would hang."""
        try:
            yield
        except Exception as error:
            if self.group.size == 1:
                raise
            self._failure = self._failure or error

    def _logged_until(self) -> int:
        """Return the time of the last point so far, logged now or by an earlier process."""
        passed = None if self.stored is None else self.stored.passed_until
        return self.metric_log.last_time if passed is None else passed

    def _add(self, metrics: Mapping[str, float], step: int) -> None:
        if self.stored is not None:
            metrics = self.stored.new_ones(metrics, step)
        if metrics:
            self.metric_log.add(metrics, step)


def check_point(metrics: Mapping[str, float], step: int) -> None:
    """Refuse at once what could not be tracked, as it would take the points beside it along.

    Raises:
        PluginError: A name, a value or the step is not legal.
    """
    if problem := problem_of_point(metrics, step):
        raise PluginError(f"The run cannot track this: {problem}.")
