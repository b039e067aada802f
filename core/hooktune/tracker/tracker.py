"""Iterations and runs in the tracking store, and the rule by which one model is kept."""

import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from hooktune.errors import RequestError, StoreError
from hooktune.naming import (
    INITIAL_EXPERIMENT,
    INITIAL_RUN,
    ITERATION_PREFIX,
    IterationName,
)
from hooktune.settings import IterationSettings
from hooktune.tracker import models, records
from hooktune.tracker.metric_log import MetricLog
from hooktune.tracker.records import Iteration, RunRecord
from hooktune.tracker.store import (
    ARTIFACT_FOLDER,
    artifact_location,
    database_file,
    open_client,
    resolve_tracking_uri,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

EndStatus = Literal["FINISHED", "FAILED", "KILLED"]
_PAGE: Final = 1000
_TAG_LENGTH: Final = 5000


class Tracker:
    """hooktune's view of one tracking store.

    Args:
        tracking_uri: The store; None for that of the environment or the default one.
    """

    def __init__(self, tracking_uri: str | None = None) -> None:
        self.tracking_uri = resolve_tracking_uri(tracking_uri)

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's client of the store, which is opened, and made if need be, at the first use."""
        return open_client(self.tracking_uri)

    def is_empty(self) -> bool:
        """Tell whether the store is a local one that does not exist yet."""
        database = database_file(self.tracking_uri)
        return database is not None and not database.exists()

    @property
    def artifact_root(self) -> str | None:
        """The folder where a local store keeps its artifacts; None for any other store."""
        database = database_file(self.tracking_uri)
        return None if database is None else str(database.parent / ARTIFACT_FOLDER)

    # Initial models

    def initial_run(self, method: str) -> RunRecord | None:
        """Return the run that holds a method's initial model, or None where it has none yet."""
        experiment_id = self._experiment_id(INITIAL_EXPERIMENT)
        if experiment_id is None:
            return None
        for run in self._search_runs(experiment_id):
            ours = run.method == method and run.status == "FINISHED"
            if ours and models.has_model(self.client, run):
                return run
        return None

    def upload_initial_model(
        self, method: str, model: "SentenceTransformer", tags: Mapping[str, str]
    ) -> RunRecord:
        """Store the model that a method starts from, as the run `initial_model`.

        Args:
            method: The method's display name.
            model: The model, as the method gave it.
            tags: What else to record on the run.
        """
        experiment_id = self._create_experiment(INITIAL_EXPERIMENT, {})
        own = {records.METHOD_TAG: method, records.NOTE_TAG: f"The initial model of {method}."}
        created = self.client.create_run(
            experiment_id, run_name=INITIAL_RUN, tags={**tags, **own, **_process_tag()}
        )
        run = self.run(created.info.run_id)
        try:
            models.upload_model(self.client, run, model)
        except BaseException:
            self.client.set_terminated(run.run_id, "FAILED")
            raise
        self.client.set_terminated(run.run_id, "FINISHED")
        return self.run(run.run_id)

    # Iterations

    def iterations(self, method: str | None = None) -> list[Iteration]:
        """Return all iterations, or those of one method, the oldest first."""
        if self.is_empty():
            return []
        found = [
            iteration
            for experiment in self._search_experiments(f"name LIKE '{ITERATION_PREFIX}%'")
            if (iteration := records.iteration_from_mlflow(experiment)) is not None
            and method in (None, iteration.name.method)
        ]
        return sorted(found, key=lambda each: (each.created_at, each.experiment_id))

    def iteration(self, name: IterationName) -> Iteration | None:
        """Return one iteration, or None where it has not been created."""
        if self.is_empty():
            return None
        experiment = self.client.get_experiment_by_name(str(name))
        if experiment is None or experiment.lifecycle_stage == "deleted":
            return None
        return records.iteration_from_mlflow(experiment)

    def last_finished(self, method: str) -> Iteration | None:
        """Return the iteration of a method that was the last to finish for the first time."""
        finished = [each for each in self.iterations(method) if each.finished_at]
        return max(finished, key=lambda each: each.finished_at or "", default=None)

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
        previous = self.starting_model(name.method)
        tags = records.iteration_tags(settings, starting_run, previous.run_id if previous else None)
        tags[records.NOTE_TAG] = (
            f"{name.method} on batch {name.batch_id}, from the model of run {starting_run}. "
            f"The best model is chosen by {settings.main_metric.name}."
        )
        self._create_experiment(str(name), tags)
        iteration = self.iteration(name)
        if iteration is None:
            raise StoreError(
                f"The experiment {name} exists, but hooktune did not make it. Rename it in MLflow."
            )
        return iteration

    def record_starting_metrics(
        self, iteration: Iteration, metrics: Mapping[str, float]
    ) -> Iteration:
        """Record how the starting model does on the test sessions."""
        text = records.to_json(metrics)
        if len(text) > _TAG_LENGTH:
            raise RequestError(
                f"The metrics take {len(text)} characters and MLflow keeps {_TAG_LENGTH}. "
                "Block a plugin that computes many: --block NAME."
            )
        self._set_tag(iteration, records.STARTING_METRICS_TAG, text)
        return self._fresh(iteration)

    def starting_model(self, method: str) -> RunRecord | None:
        """Return the run whose model a method's next iteration starts from.

        It is the best one of the last finished iteration; where that beat nothing, the one that it
        had started from itself; without any iteration the initial model, or None without that.
        """
        last = self.last_finished(method)
        if last is None:
            return self.initial_run(method)
        return self.run(last.best_run if last.improved and last.best_run else last.starting_run)

    def finish_iteration(self, iteration: Iteration) -> Iteration:
        """Record that an iteration has done all its runs, and delete the model that it replaced."""
        iteration = self._fresh(iteration)
        improved = iteration.best_run is not None
        self._delete_all_models_but(iteration.best_run, iteration)
        self._set_tag(iteration, records.IMPROVED_TAG, "true" if improved else "false")
        if iteration.finished_at is None:
            self._set_tag(iteration, records.FINISHED_TAG, datetime.now(UTC).isoformat())
        if improved and iteration.previous_run:
            self._delete_models_of(self.run(iteration.previous_run))
        return self._fresh(iteration)

    # Runs

    def run(self, run_id: str) -> RunRecord:
        """Return one run.

        Raises:
            RequestError: There is none of this id.
        """
        from mlflow.exceptions import MlflowException

        try:
            if not self.is_empty():
                return records.run_from_mlflow(self.client.get_run(run_id), self.tracking_uri)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
        raise RequestError(
            f"There is no run {run_id!r} in {self.tracking_uri}. `hooktune runs` lists them."
        )

    def runs(self, iteration: Iteration) -> list[RunRecord]:
        """Return the runs of an iteration, the oldest first."""
        return list(self._search_runs(iteration.experiment_id))

    def finished_run(self, iteration: Iteration, run_key: str) -> RunRecord | None:
        """Return the run that has already done what a key stands for."""
        condition = f"tags.`{records.RUN_KEY_TAG}` = '{run_key}'"
        runs = self._search_runs(iteration.experiment_id, condition)
        return next((run for run in runs if run.status == "FINISHED"), None)

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
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        own = {
            records.METHOD_TAG: iteration.name.method,
            records.BATCH_TAG: iteration.name.batch_id,
            records.RUN_KEY_TAG: run_key,
            records.HYPER_PARAMETERS_TAG: records.to_json(hyper_parameters),
            **_process_tag(),
        }
        created = self.client.create_run(
            iteration.experiment_id, run_name=name, tags={**tags, **own}
        )
        run_id = created.info.run_id
        self.client.log_batch(
            run_id,
            params=[
                Param(key, str(value)) for key, value in {**hyper_parameters, **params}.items()
            ],
        )
        dataset = Dataset(
            name="batch",
            digest=iteration.name.batch_id,
            source_type="hooktune",
            source=records.to_json({"batch_id": iteration.name.batch_id}),
        )
        context = InputTag("mlflow.data.context", "training")
        self.client.log_inputs(run_id, [DatasetInput(dataset, [context])])
        return self.run(run_id)

    def metric_log(self, run: RunRecord) -> MetricLog:
        """Open the way by which metric points reach a run."""
        return MetricLog(self.client, run.run_id)

    def log_text(self, run: RunRecord, text: str, file: str) -> None:
        """Store a text as an artifact of a run."""
        self.client.log_text(run.run_id, text, file)

    def tag(self, run: RunRecord, tags: Mapping[str, str]) -> None:
        """Record tags on a run; a long one is cut."""
        from mlflow.entities import RunTag

        short = [RunTag(key, value[:_TAG_LENGTH]) for key, value in tags.items()]
        self.client.log_batch(run.run_id, tags=short)

    def warn(self, run: RunRecord, warning: str) -> None:
        """Record a warning on a run, for everyone who looks at it."""
        self.client.set_tag(run.run_id, records.WARNING_TAG, warning[:_TAG_LENGTH])

    def end_run(self, run: RunRecord, status: EndStatus, failure: str | None = None) -> RunRecord:
        """End a run, saying why if it failed."""
        if failure:
            self.client.set_tag(run.run_id, records.FAILURE_TAG, failure[:_TAG_LENGTH])
        self.client.set_terminated(run.run_id, status)
        return self.run(run.run_id)

    def end_dead_runs(self, iteration: Iteration) -> None:
        """End the runs that a process of this machine left behind when it died."""
        for run in self.runs(iteration):
            if run.status == "RUNNING" and _has_died(run.tags.get(records.PROCESS_TAG)):
                logger.warning("run %s was left behind by a process that died", run.run_id)
                if run.run_id == iteration.best_run:
                    self.end_run(run, "FINISHED")  # it is marked last, when all else is stored
                else:
                    self.end_run(run, "KILLED", "its process died")

    # The best model

    def keep_if_best(
        self, iteration: Iteration, run: RunRecord, model: "SentenceTransformer", step: int
    ) -> bool:
        """Keep a run's model if it is the best of its iteration, and delete the one it replaces.

        The new model is uploaded and checked before it is marked the best, and the old one is
        deleted after that: whenever the process dies, a whole best model is there.

        Args:
            iteration: The iteration.
            run: A run whose final metrics are stored.
            model: The run's model.
            step: The training step that it stands for.
        """
        iteration = self._fresh(iteration)
        main = iteration.settings.main_metric
        value = run.metrics.get(main.name)
        best = self.best(iteration)
        rivals = [iteration.starting_metrics.get(main.name)]
        if best is not None:
            rivals.append(best.metrics.get(main.name))
        if not all(main.beats(value, rival) for rival in rivals):
            return False
        models.upload_model(self.client, run, model, step)
        self._set_tag(iteration, records.BEST_RUN_TAG, run.run_id)
        self._delete_all_models_but(run.run_id, iteration)
        return True

    def best(self, iteration: Iteration) -> RunRecord | None:
        """Return the best run of an iteration, or None where no run beats the starting model."""
        return self.run(iteration.best_run) if iteration.best_run else None

    def top_params(self, iteration: Iteration, count: int) -> list[dict[str, Any]]:
        """Return the hyper-parameters of the best finished runs of an iteration, the best first."""
        main = iteration.settings.main_metric
        finished = [run for run in self.runs(iteration) if run.status == "FINISHED"]
        finished.sort(key=lambda run: (*main.sort_key(run.metrics.get(main.name)), run.run_id))
        return [run.params for run in finished[:count]]

    def runs_with_model(self, iteration: Iteration) -> set[str]:
        """Return the ids of an iteration's runs whose models are in the store."""
        return set(models.models_by_run(self.client, iteration.experiment_id))

    def export_model(self, run: RunRecord, to: Path) -> None:
        """Copy a run's model into a new folder that sentence-transformers loads.

        Raises:
            RequestError: The run has no model, or the folder exists and is not empty.
        """
        models.export_model(run, to)

    def has_model(self, run: RunRecord) -> bool:
        """Tell whether a run's model is in the store."""
        return models.has_model(self.client, run)

    # MLflow underneath

    def _fresh(self, iteration: Iteration) -> Iteration:
        found = self.iteration(iteration.name)
        if found is None:
            raise StoreError(f"The experiment {iteration.name} was deleted in the meantime.")
        return found

    def _set_tag(self, iteration: Iteration, key: str, value: str) -> None:
        self.client.set_experiment_tag(iteration.experiment_id, key, value)

    def _delete_all_models_but(self, best_run: str | None, iteration: Iteration) -> None:
        """Delete the models of an iteration's other runs, save those of runs still at work."""
        models_of = models.models_by_run(self.client, iteration.experiment_id)
        for run_id in models_of.keys() - {best_run}:
            run = self.run(run_id)
            if run.status != "RUNNING":
                self._delete_models_of(run)

    def _delete_models_of(self, run: RunRecord) -> None:
        """Delete what a run has uploaded, unless it is still wanted.

        An initial model is, one that somebody registered, and one that an iteration starts from
        which has not finished.
        """
        wanted = (
            run.batch_id is None
            or models.is_registered(self.client, run.run_id)
            or any(
                each.starting_run == run.run_id and not each.finished_at
                for each in self.iterations()
            )
        )
        if wanted:
            logger.info("the model of run %s is still wanted, and stays", run.run_id)
            return
        models_of = models.models_by_run(self.client, run.experiment_id)
        for model_id in models_of.get(run.run_id, []):
            models.delete_model(self.client, model_id)

    def _experiment_id(self, name: str) -> str | None:
        if self.is_empty():
            return None
        experiment = self.client.get_experiment_by_name(name)
        return experiment.experiment_id if experiment else None

    def _create_experiment(self, name: str, tags: dict[str, str]) -> str:
        from mlflow.exceptions import MlflowException

        location = artifact_location(self.tracking_uri, name)
        try:
            return self.client.create_experiment(name, artifact_location=location, tags=tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None or experiment.lifecycle_stage == "deleted":
            raise StoreError(
                f"The experiment {name} was deleted, and its name is still taken. Restore it by "
                "`mlflow experiments restore`, or remove it for good by `mlflow gc`."
            )
        return experiment.experiment_id

    def _search_experiments(self, filter_string: str) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_experiments(
                filter_string=filter_string, max_results=_PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _search_runs(self, experiment_id: str, filter_string: str = "") -> Iterator[RunRecord]:
        token = None
        while True:
            page = self.client.search_runs(
                [experiment_id],
                filter_string=filter_string,
                max_results=_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                yield records.run_from_mlflow(run, self.tracking_uri)
            token = page.token
            if not token:
                return


def _process_tag() -> dict[str, str]:
    return {records.PROCESS_TAG: json.dumps({"host": socket.gethostname(), "pid": os.getpid()})}


def _has_died(process: str | None) -> bool:
    """Tell whether a run's process was one of this machine and is gone."""
    try:
        where = json.loads(process or "{}")
        if where.get("host") != socket.gethostname() or where.get("pid") == os.getpid():
            return False
        os.kill(int(where["pid"]), 0)
    except ProcessLookupError:
        return True
    except (ValueError, OSError, AttributeError):
        return False
    return False
