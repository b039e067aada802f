"""hooktune's view of one tracking store: what the host asks of it."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hooktune.contract.settings import IterationSettings
from hooktune.errors import RequestError
from hooktune.naming import IterationName
from hooktune.plain_text import hide
from hooktune.tracking import iterations, queries, records
from hooktune.tracking.checkpoints import Checkpoints
from hooktune.tracking.claims import Claims
from hooktune.tracking.connection import is_yet_to_be_made, open_client, resolve_tracking_uri
from hooktune.tracking.logins import secrets_of_environment
from hooktune.tracking.models import champions, files, initial, loading
from hooktune.tracking.models.champions import ModelVersion
from hooktune.tracking.models.uploading import Verify
from hooktune.tracking.outage import Answer, with_retries, write_points
from hooktune.tracking.outbox.metric_log import MetricLog
from hooktune.tracking.outbox.outbox import Delivered, Outbox
from hooktune.tracking.outbox.spool import End, KeepIfBest, LogFile, LogText, SetTags, spool_folder
from hooktune.tracking.records import EndStatus, Iteration, RunRecord
from hooktune.tracking.store_address import StoreAddress, read_store_address
from hooktune.tracking.stored_points import StoredPoints

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from sentence_transformers import SentenceTransformer


class Tracker:
    """hooktune's view of one tracking store.

    Args:
        tracking_uri: The store; None for that of the environment or the default one.
        spool: A folder for what cannot be brought to a store that is away; None for
            `HOOKTUNE_SPOOL` or `hooktune-spool` in the working folder. It is made when needed.
    """

    def __init__(
        self, tracking_uri: str | StoreAddress | None = None, spool: str | Path | None = None
    ) -> None:
        self.address = (
            tracking_uri
            if isinstance(tracking_uri, StoreAddress)
            else read_store_address(resolve_tracking_uri(tracking_uri))
        )
        """The store's address; as a text it is the one below."""
        hide([*self.address.secrets, *secrets_of_environment()])
        self.tracking_uri = self.address.shown
        """The store's address as it may be shown."""
        self._outbox = Outbox(self.tracking_uri, spool_folder(spool), lambda: self.client)

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's client of the store, which is opened, and made if need be, at the first use."""
        return open_client(self.address)

    @property
    def spool_folder(self) -> Path:
        """The folder for what cannot be brought to a store that is away."""
        return self._outbox.folder

    def initial_run(self, method: str) -> RunRecord | None:
        """Return the run that holds a method's initial model, or None where it has none yet."""
        return self._look(lambda client: initial.find_initial_run(client, method), None)

    def upload_initial_model(
        self, method: str, model: "SentenceTransformer", tags: Mapping[str, str]
    ) -> RunRecord:
        """Store the model that a method starts from, as the run `initial_model`.

        Where another process was first, its run is returned and nothing is stored.

        Args:
            method: The method's display name.
            model: The model, as the method gave it.
            tags: What else to record on the run.
        """
        return self.run(initial.upload_initial_model(self.client, method, model, tags))

    def iterations(self, method: str | None = None) -> list[Iteration]:
        """Return all iterations, or those of one method, the oldest first."""
        return self._look(lambda client: queries.search_iterations(client, method), [])

    def iteration(self, name: IterationName) -> Iteration | None:
        """Return one iteration, or None where it has not been created."""
        return self._look(lambda client: queries.find_iteration(client, name), None)

    def check_is_free(self, name: IterationName) -> None:
        """Make sure that an iteration that does not exist can be created.

        Raises:
            StoreError: Somebody else has an experiment of this name, or deleted it.
        """
        self._look(lambda client: iterations.check_is_free(client, name), None)

    def create_iteration(
        self, name: IterationName, settings: IterationSettings, starting_run: str
    ) -> Iteration:
        """Create an iteration, or return it if another process was first.

        Args:
            name: The method and the batch.
            settings: What the iteration is about, recorded for good.
            starting_run: The run whose model it tunes.

        Raises:
            StoreError: Somebody else has an experiment of this name, or deleted it.
        """
        return iterations.create_iteration(self.client, name, settings, starting_run)

    def record_starting_metrics(
        self, iteration: Iteration, metrics: Mapping[str, float]
    ) -> Iteration:
        """Record how the starting model does on the test sessions."""
        return iterations.record_starting_metrics(self.client, iteration, metrics)

    def starting_model(self, method: str) -> RunRecord | None:
        """Return the run whose model a method's next iteration starts from.

        It is the best one of the last finished iteration; where that beat nothing, the one that it
        had started from itself; without any iteration the initial model, or None without that.
        """
        return self._look(lambda client: iterations.starting_model(client, method), None)

    def finish_iteration(self, iteration: Iteration) -> Iteration:
        """Record that an iteration has done all its runs, and delete the model that it replaced.

        Raises:
            StoreAwayError: The store is away, and did not come back in time.
        """
        return with_retries(
            self.tracking_uri, lambda: iterations.finish_iteration(self.client, iteration)
        )

    def run(self, run_id: str) -> RunRecord:
        """Return one run.

        Args:
            run_id: Its id, or at least four digits of its beginning that are no other run's.

        Raises:
            RequestError: There is no such run, or several begin so.
        """
        nothing: list[RunRecord] = []
        found = self._look(lambda client: queries.runs_beginning(client, run_id), nothing)
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(f"{run.run_id} ({run.method}, {run.name})" for run in found[:10])
            raise RequestError(f"{run_id!r} begins the ids of several runs: {listed}.")
        raise RequestError(
            f"There is no run {run_id!r} in {self.address}. `hooktune runs` lists them."
        )

    def runs(self, iteration: Iteration) -> list[RunRecord]:
        """Return the runs of an iteration, the oldest first."""
        return queries.search_runs(self.client, iteration.experiment_id)

    def claims(self, iteration: Iteration) -> Claims:
        """Return the claims of an iteration: which process does which run."""
        return Claims(self.client, iteration.experiment_id)

    def start_run(
        self,
        iteration: Iteration,
        name: str,
        run_key: str,
        hyper_parameters: Mapping[str, Any],
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> RunRecord:
        """Start a run of an iteration.

        Args:
            iteration: The iteration.
            name: What people read in lists.
            run_key: Tells what the run does: same key, same work.
            hyper_parameters: JSON values, recorded as params and as a whole.
            params: What else to record as params.
            tags: What else to record as tags.

        Raises:
            RequestError: The hyper-parameters are longer than the store can keep.
        """
        # Not tried again by itself: a reply that was lost would leave a second run.
        with_retries(self.tracking_uri, lambda: None)
        return iterations.start_run(
            self.client, iteration, name, run_key, hyper_parameters, params, tags
        )

    def metric_log(
        self, run: RunRecord, last_time: int = 0, check: Callable[[], None] | None = None
    ) -> MetricLog:
        """Open the way by which metric points reach a run, each later than a time.

        Before each writing a check is called, which raises where the run is another process's now.
        """
        write = partial(write_points, self.client, run.run_id, check=check)
        return MetricLog(write, self._outbox.spool(run.run_id), last_time)

    def stored_points(self, run: RunRecord) -> StoredPoints:
        """Return the metric points that a run has already."""
        return StoredPoints(self.client, run)

    def checkpoints(self, run: RunRecord, every: float) -> Checkpoints:
        """Return where a run keeps its state, after so many seconds each time."""
        return Checkpoints(self.client, run, every)

    def log_text(self, run: RunRecord, text: str, file: str) -> None:
        """Store a text as an artifact of a run."""
        self._outbox.send(run.run_id, LogText(text=text, file=file))

    def log_file(self, run: RunRecord, content: bytes, file: str) -> None:
        """Store a file as an artifact of a run."""
        self._outbox.send(run.run_id, LogFile(content=content, file=file))

    def log_figure(self, run: RunRecord, figure: "Figure", file: str) -> None:
        """Store a figure of matplotlib as an artifact of a run.

        Raises:
            StoreAwayError: The store is away; a figure is not worth waiting for.
        """
        self._at_once(lambda: self.client.log_figure(run.run_id, figure, file))

    def metric_history(self, run: RunRecord, name: str) -> list[tuple[int, float]]:
        """Return the steps and the values of all points of a metric, the first step first."""
        points = self.client.get_metric_history(run.run_id, name)
        return sorted((point.step, point.value) for point in points)

    def tag(self, run: RunRecord, tags: Mapping[str, str]) -> None:
        """Record tags on a run; a long one is cut."""
        short = {key: value[: records.TAG_LENGTH] for key, value in tags.items()}
        self._outbox.send(run.run_id, SetTags(tags=short))

    def end_run(self, run: RunRecord, status: EndStatus, failure: str | None = None) -> RunRecord:
        """End a run, saying why if it failed; the best run has always finished."""
        failure = failure and failure[: records.TAG_LENGTH]
        end = End(status=status, failure=failure, at=time.time_ns() // 1_000_000)
        self._outbox.send(run.run_id, end)
        if self._outbox.keeps(run.run_id):
            return replace(run, status=status, failure=failure)
        return self.run(run.run_id)

    def sending_rest(self) -> AbstractContextManager[None]:
        """Bring to the store, at the end of some work, what could not be brought during it.

        Raises:
            StoreAwayError: The store is still away; the message says what is kept where.
        """
        return self._outbox.sending_rest()

    def sync(self) -> list[Delivered]:
        """Bring to the store what earlier processes could not bring there, and end their runs.

        What cannot be brought now is kept, and is named with its problem.
        """
        return self._look(lambda _: self._outbox.sync(), [])

    def keep_if_best(
        self,
        run: RunRecord,
        model: "SentenceTransformer",
        step: int,
        verify: Verify | None = None,
    ) -> bool:
        """Keep a run's model if it is the best of its iteration, and tell whether it is.

        It is verified before it is marked; a store that is away can't tell yet.

        Args:
            run: The run, all of whose metrics were logged.
            model: The run's model.
            step: The training step that it stands for.
            verify: Gets the model as stored; raises where that is not what was measured.
        """
        return bool(self._outbox.send(run.run_id, KeepIfBest(step=step), model, verify))

    def best(self, iteration: Iteration) -> RunRecord | None:
        """Return the best run of an iteration, or None where no run beats the starting model."""
        return queries.find_run(self.client, iteration.best_run) if iteration.best_run else None

    def runs_with_model(self, iteration: Iteration) -> set[str]:
        """Return the ids of an iteration's runs whose models are in the store."""
        return set(files.models_by_run(self.client, [iteration.experiment_id], only_whole=True))

    def champion(self, method: str) -> ModelVersion | None:
        """Return the version that is a method's champion, or None where it has none."""
        return self._look(lambda client: champions.find_champion(client, method), None)

    def export_model(self, run: RunRecord, to: Path) -> None:
        """Copy a run's model into a new folder that sentence-transformers loads.

        Raises:
            RequestError: The run has no model, or the folder exists and is not empty.
            StoreAwayError: The store does not answer.
        """
        self._at_once(lambda: loading.export_model(self.client, run, to))

    def load_model(self, run: RunRecord, device: str | None = None) -> "SentenceTransformer":
        """Load a run's model on a torch device, by default the best one that there is.

        Raises:
            RequestError: The run has no model, or it was deleted.
            StoreAwayError: The store does not answer.
            UnsafeModelError: A file of it is of no kind that is known to be safe.
        """
        return self._at_once(lambda: loading.load_model(self.client, run, device))

    def has_model(self, run: RunRecord) -> bool:
        """Tell whether a run's model is in the store."""
        return files.has_model(self.client, run)

    def _at_once(self, call: Callable[[], Answer]) -> Answer:
        """Call the store, which has to answer now: MLflow would wait for minutes."""
        return with_retries(self.tracking_uri, call, patience=0)

    def _look(self, query: Callable[["MlflowClient"], Answer], nothing: Answer) -> Answer:
        """Look something up; a local store that does not exist yet has nothing, and is not made."""
        return nothing if is_yet_to_be_made(self.tracking_uri) else query(self.client)
