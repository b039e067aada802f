"""Sends to the store what is recorded on runs, and keeps for later what it cannot send."""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hooktune.contract.listing import Record
from hooktune.errors import HooktuneError, StoreAwayError
from hooktune.plain_text import without_secrets
from hooktune.tracking import artifacts, notes, queries, records
from hooktune.tracking.checkpoints import Checkpoints
from hooktune.tracking.claims import Claims
from hooktune.tracking.models.best import keep_if_best
from hooktune.tracking.models.loading import let_go
from hooktune.tracking.models.uploading import Verify
from hooktune.tracking.outage import with_retries, write_points
from hooktune.tracking.outbox.spool import (
    DELIVERED,
    End,
    KeepIfBest,
    LogFile,
    LogText,
    Operation,
    RunSpool,
    SetTags,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

Client = Callable[[], "MlflowClient"]


@dataclass(frozen=True, repr=False)
class Delivered(Record):
    """What `sync` did with what was kept of one run."""

    run_id: str
    points: int = 0
    """How many metric points were brought to the store."""
    status: str | None = None
    """How the run ended; None where that was not kept, because its process died before."""
    kept_model: bool | None = None
    """Whether its model is the best of its iteration now; None where it left no model."""
    problem: str | None = None
    """Why nothing, or not all, was delivered; it is kept still."""
    is_elsewhere: bool = False
    """Whether the store has no such run, or another process is at work on it."""


class Outbox:
    """Brings to one store what is recorded on runs.

    Args:
        uri: The store's address as it may be shown.
        folder: Where to keep what cannot be brought, in a folder for each run.
        client: Gives MLflow's client of the store.
    """

    def __init__(self, uri: str, folder: Path, client: Client) -> None:
        self._uri = uri
        self.folder = folder
        self._client = client
        self._spools: dict[str, RunSpool] = {}

    def spool(self, run_id: str) -> RunSpool:
        """Return where things of a run are kept when they cannot be brought."""
        return self._spools.setdefault(run_id, RunSpool(self.folder / run_id, self._uri))

    def keeps(self, run_id: str) -> bool:
        """Tell whether something of a run was kept during the present work."""
        spool = self.spool(run_id)
        return spool.is_held and not spool.is_empty

    def send(
        self,
        run_id: str,
        operation: Operation,
        model: "SentenceTransformer | None" = None,
        verify: Verify | None = None,
    ) -> bool | None:
        """Do something to a run in the store, or keep it for later where the store stays away.

        Args:
            run_id: The run.
            operation: What is to be done.
            model: The run's model, where it concerns that.
            verify: Raises where the model, as it was stored or is kept, is not what was measured.

        Returns:
            Whether the model is the best one, None where that was not asked or not decided.
        """
        spool = self.spool(run_id)
        if not self.keeps(run_id):
            try:
                return with_retries(
                    self._uri,
                    lambda: perform(self._client(), run_id, operation, lambda: model, verify),
                )
            except StoreAwayError:
                logger.warning("what is recorded on run %s is kept in %s", run_id, spool.folder)
        if model is not None:
            spool.keep_model(model)
            if verify is not None:
                stored = spool.load_model()
                verify(stored)
                let_go(stored)
        spool.add(operation)
        return None

    @contextmanager
    def sending_rest(self) -> Iterator[None]:
        """Bring what is kept during some work, once that is done; where it is cut short, leave it.

        Raises:
            StoreAwayError: The store is still away; it says what is kept where.
        """
        try:
            yield
            self._send_rest()
        finally:
            while self._spools:
                self._spools.popitem()[1].release()

    def _send_rest(self) -> None:
        for run_id, spool in self._spools.items():
            if not self.keeps(run_id):
                continue
            try:
                done = with_retries(self._uri, partial(deliver, self._client, spool), patience=0)
                if done.problem:
                    logger.warning("what is kept of run %s stays: %s", run_id, done.problem)
            except StoreAwayError as error:
                model = ", with its model," if spool.has_model else ""
                raise StoreAwayError(
                    f"{error} Run {run_id} is not lost: what it has measured{model} is in "
                    f"{spool.folder}, and that command or `hooktune sync` delivers it."
                ) from error

    def sync(self) -> list[Delivered]:
        """Bring what earlier processes have kept; what cannot be brought now stays.

        Raises:
            StoreError: Something is kept, and the store cannot be opened.
        """
        for delivered in self.folder.glob(f"{DELIVERED}*"):  # a process died while it removed it
            shutil.rmtree(delivered, ignore_errors=True)
        left = sorted(about.parent for about in self.folder.glob("*/run.json"))
        if left:
            self._client()
        return [self._sync(RunSpool(folder)) for folder in left]

    def _sync(self, spool: RunSpool) -> Delivered:
        run_id = spool.run_id
        try:
            if not spool.hold():
                return Delivered(run_id, problem="a process is at work on it", is_elsewhere=True)
        except FileNotFoundError:
            return Delivered(run_id, problem="another process delivers it", is_elsewhere=True)
        try:
            return with_retries(self._uri, partial(deliver, self._client, spool), patience=0)
        except Exception as error:
            logger.debug("the traceback of run %s", run_id, exc_info=True)
            return Delivered(run_id, problem=without_secrets(f"{type(error).__name__}: {error}"))
        finally:
            spool.release()


def deliver(client: Client, spool: RunSpool) -> Delivered:
    """Bring what is kept of one run to the store, and remove it; what is there already stays."""
    run = queries.find_run(client(), spool.run_id)
    if run is None:
        where = spool.store or "another store"
        return Delivered(spool.run_id, problem=f"it is a run of {where}", is_elsewhere=True)
    claims = Claims(client(), run.experiment_id, left_by=spool.process)
    claim = claims.try_claim(run.run_key or run.run_id)
    if claim is None:
        return Delivered(spool.run_id, problem="another process goes on with it", is_elsewhere=True)
    with claim:
        return _deliver_alone(client, spool)


def _deliver_alone(client: Client, spool: RunSpool) -> Delivered:
    """Bring what is kept of a run that no other process can take over meanwhile."""
    points, status, kept = 0, None, None
    run = records.run_from_mlflow(client().get_run(spool.run_id))
    at_work = run.tags.get(records.PROCESS_TAG)
    if spool.process and at_work and spool.process != at_work:
        # That one does again what is kept here.
        return Delivered(spool.run_id, problem="another process took it over", is_elsewhere=True)
    for chunk in spool.points():
        write_points(client(), spool.run_id, chunk)
        points += len(chunk)
    operations = spool.operations()
    if operations and run.status in ("KILLED", "FAILED"):
        # Taken for dead in the meantime; how it really ended comes with the operations.
        client().update_run(run.run_id, status="RUNNING")
        if run.failure:
            client().delete_tag(run.run_id, records.FAILURE_TAG)
    for operation in operations:
        done = perform(client(), spool.run_id, operation, spool.load_model)
        if isinstance(operation, KeepIfBest):
            kept = done
        elif isinstance(operation, End):
            status = operation.status
    spool.clear()
    return Delivered(spool.run_id, points, status, kept)


def perform(
    client: "MlflowClient",
    run_id: str,
    operation: Operation,
    model: "Callable[[], SentenceTransformer | None]",
    verify: Verify | None = None,
) -> bool | None:
    """Do something to a run in the store; done again it changes nothing.

    Args:
        client: MLflow's client of the store.
        run_id: The run.
        operation: What is to be done.
        model: Gives the run's model, where it concerns that.
        verify: Raises where the model, as it was stored, is not what was measured.

    Returns:
        Whether the model is the best one, None where it was not asked for.

    Raises:
        HooktuneError: The run or its experiment was deleted.
    """
    from mlflow.entities import RunTag

    match operation:
        case SetTags():
            client.log_batch(run_id, tags=[RunTag(*tag) for tag in operation.tags.items()])
        case LogText():
            client.log_text(run_id, operation.text, operation.file)
        case LogFile():
            artifacts.write_artifact(client, run_id, operation.content, operation.file)
        case KeepIfBest():
            return _keep_model_if_best(client, run_id, model(), operation.step, verify)
        case End():
            _end(client, run_id, operation)
    return None


def _keep_model_if_best(
    client: "MlflowClient",
    run_id: str,
    model: "SentenceTransformer | None",
    step: int,
    verify: Verify | None,
) -> bool:
    run = queries.find_run(client, run_id)
    experiment = client.get_experiment(run.experiment_id) if run else None
    iteration = records.iteration_from_mlflow(experiment) if experiment else None
    if run is None or iteration is None or model is None:
        raise HooktuneError(f"Run {run_id} or its iteration was deleted in the meantime.")
    return keep_if_best(client, iteration, run, model, step, verify)


def _end(client: "MlflowClient", run_id: str, end: End) -> None:
    """End a run.

    The best run has always finished: it was marked when all of it was stored, and what went wrong
    since, such as an interruption, does not concern it.
    """
    experiment = client.get_experiment(client.get_run(run_id).info.experiment_id)
    is_best = run_id == experiment.tags.get(records.BEST_RUN_TAG)
    if end.failure and not is_best:
        client.set_tag(run_id, records.FAILURE_TAG, end.failure)
    client.set_terminated(run_id, "FINISHED" if is_best else end.status, end_time=end.at)
    iteration = records.iteration_from_mlflow(experiment)
    run = queries.find_run(client, run_id)
    if iteration and run:
        notes.describe_run(client, iteration, run)
    if run:
        Checkpoints(client, run, 0).remove()
