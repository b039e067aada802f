"""The part in an iteration of a process that follows another one: it trains along, and is mute."""

import copy
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hooktune.contract.checkpoint import Checkpoint, StateGiver
from hooktune.contract.metric import Accumulation, MainMetric
from hooktune.contract.seeding import seeded_alone
from hooktune.contract.sessions import Batch, Floats, Sessions
from hooktune.contract.settings import IterationSettings
from hooktune.errors import FailedAloneError, HooktuneError
from hooktune.evaluation.baseline import StartingPoint, measure_starting_point
from hooktune.evaluation.evaluator import Evaluation, Evaluator
from hooktune.iteration.fingerprint import model_digest
from hooktune.iteration.messages import (
    BeginIteration,
    BeginRun,
    EndIteration,
    StillWaiting,
    unpacked_model,
)
from hooktune.iteration.result import IterationResult
from hooktune.iteration.tracked_run import RunOfProcess, check_point
from hooktune.plugin.host import Host
from hooktune.training.encoder import TextEncoder
from hooktune.training.kept_embeddings import KeptEmbeddings
from hooktune.training.process_group import ProcessGroup

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


def follow(host: Host, batch: Batch, group: ProcessGroup) -> IterationResult:
    """Take part in what the leading process does with `run_iteration`.

    Args:
        host: The same plugins as there.
        batch: The same batch.
        group: The processes that train together.

    Returns:
        What `run_iteration` has returned there.

    Raises:
        HooktuneError: The leading process has failed.
    """
    begun: tuple[IterationSettings, StartingPoint] | None = None
    failure: HooktuneError | None = None
    while True:
        told = group.share()
        if isinstance(told, EndIteration):
            if told.error is not None:
                raise told.error
            if begun is not None and begun[1].encoder.kept is not None:
                begun[1].encoder.kept.discard()
            result: IterationResult = told.result
            return result
        if isinstance(told, BeginIteration):
            try:
                begun = told.settings, _begin(host, batch, told, group)
            except HooktuneError as error:
                # It fails in the leading process as well, which says how the iteration ends.
                begun, failure = None, error
        elif isinstance(told, BeginRun) and begun is not None:
            _fit(host, *begun, told, group)
        elif not isinstance(told, StillWaiting):
            raise failure or HooktuneError(
                f"Process {group.rank} cannot follow the leading one, which is at another step: "
                f"{type(told).__name__}. Give the same command again."
            )


def _begin(host: Host, batch: Batch, told: BeginIteration, group: ProcessGroup) -> StartingPoint:
    model = unpacked_model(told.model, group.device)
    kept = KeptEmbeddings(partial(model_digest, model), told.embeddings)
    encoder = TextEncoder(model, told.frozen_layers, group, kept=kept)
    split = told.settings.split(batch.sessions)
    return measure_starting_point(host, batch, split, told.settings, encoder, told.judged)


def _fit(
    host: Host,
    settings: IterationSettings,
    start: StartingPoint,
    told: BeginRun,
    group: ProcessGroup,
) -> None:
    space = host.hyper_parameters()
    params = None if space is None or told.params is None else space.model_validate(told.params)
    try:
        with group.failing_together(told.work):
            with seeded_alone(settings.seed):
                run = FollowingRun(settings.seed, settings.main_metric, start.evaluator, group)
                if told.model is not None:
                    model = unpacked_model(told.model, group.device)
                else:
                    own = copy.deepcopy(start.encoder.model)
                    model = host.fit_batch(run, own, start.training, params)
            run.evaluate_along(model, run.last_step, is_last=True)
    except FailedAloneError:
        raise
    except Exception:
        # It fails in the leading process as well, which records why and goes on.
        logger.debug("the run has failed in process %d", group.rank, exc_info=True)


@dataclass(eq=False)
class FollowingRun(RunOfProcess):
    """What `fit_batch` gets in a process that follows another one: it measures along, and is mute.

    Args:
        seed: As that of the leading process, as are the other arguments.
        main_metric: Chooses the best weights.
        evaluator: Measures models on the test sessions.
        group: The processes that train together.
    """

    seed: int
    main_metric: MainMetric
    evaluator: Evaluator
    group: ProcessGroup
    last_step: int = 0

    def expect_steps(self, count: int) -> None:
        """Do nothing."""

    def use_loss(self, loss: Callable[[Sessions, Floats], float]) -> None:
        """Do nothing."""

    def log(
        self,
        metrics: Mapping[str, float],
        step: int,
        accumulate: Iterable[Accumulation] = ("mean", "sliding"),  # noqa: ARG002
    ) -> None:
        """Track nothing, and refuse what the leading process refuses."""
        check_point(metrics, step)

    def log_scores(
        self,
        model: "SentenceTransformer",  # noqa: ARG002
        sessions: Sessions,  # noqa: ARG002
        scores: Floats,  # noqa: ARG002
        baseline: Floats,  # noqa: ARG002
        step: int,
    ) -> None:
        """Track nothing, and refuse what the leading process refuses."""
        check_point({}, step)

    def evaluate(self, model: "SentenceTransformer", step: int) -> dict[str, float]:
        """Encode a share of the texts, where the leading process encodes, and return its result."""
        check_point({}, step)
        return self.evaluate_along(model, step)

    def evaluate_along(
        self, model: "SentenceTransformer", step: int, *, is_last: bool = False
    ) -> dict[str, float]:
        """Do this process's part of `TrackedRun.evaluation_of`."""
        self.last_step = max(self.last_step, step)
        evaluation: Evaluation | None = self.group.lead()
        embedded = None
        if self.evaluator.has_to_search(evaluation, is_last=is_last) and not self.group.lead():
            embedded = self.evaluator.embed(model)
        if evaluation is None:
            self.evaluator.scores(model, embedded)
            evaluation = self.group.lead()
        if embedded is not None:
            evaluation = self.group.lead()
        return dict(evaluation.metrics) if evaluation else {}

    def checkpoint(self, step: int, state: StateGiver) -> None:
        """Do nothing: the leading process has the same state."""

    def resumed(self) -> Checkpoint | None:
        """Return what the leading process goes on from."""
        found: Checkpoint | None = self.group.lead()
        return found

    def should_stop(self) -> bool:
        """Return the leading process's answer."""
        return bool(self.group.lead())
