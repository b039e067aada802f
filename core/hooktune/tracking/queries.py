"""Experiments and runs in the tracking store: create them, look them up, pass over strangers."""

import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hooktune.errors import StoreError
from hooktune.naming import INITIAL_EXPERIMENT, ITERATION_PREFIX, IterationName
from hooktune.tracking.connection import artifact_location
from hooktune.tracking.failures import insist, is_away, is_refused
from hooktune.tracking.records import (
    TOKEN_TAG,
    Iteration,
    RunRecord,
    iteration_from_mlflow,
    run_from_mlflow,
    to_json,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run
    from mlflow.store.entities import PagedList

logger = logging.getLogger(__name__)

_NOT_FOUND: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow answers to an id that it does not know; the second, where its form is wrong too."""

_PAGE: Final = 1000
_BEGINNING: Final = re.compile(r"[0-9a-f]{4,32}")
_RUN_ID_DIGITS: Final = 32

Entity = TypeVar("Entity")


def find_experiment(client: "MlflowClient", name: str) -> "Experiment | None":
    """Return an experiment, or None where there is none or it was deleted."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None or experiment.lifecycle_stage == "deleted":
        return None
    return experiment


def check_is_not_deleted(client: "MlflowClient", name: str) -> None:
    """Make sure that no deleted experiment has a name.

    Raises:
        StoreError: One has.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        raise StoreError(
            f"The experiment {name} was deleted, and its name is still taken. Restore it by "
            "`mlflow experiments restore`, or remove it for good by `mlflow gc`."
        )


def check_is_free(client: "MlflowClient", name: str) -> None:
    """Make sure that an experiment of a name, if there is one, is an iteration of hooktune's.

    Raises:
        StoreError: It is somebody else's, or was deleted.
    """
    check_is_not_deleted(client, name)
    experiment = find_experiment(client, name)
    if experiment is not None and iteration_from_mlflow(experiment) is None:
        raise is_foreign(name)


def is_foreign(name: str) -> StoreError:
    """Return the error that an experiment of an iteration's name is somebody else's."""
    return StoreError(
        f"The experiment {name} exists, but hooktune did not make it, or its tags were "
        "changed since. Rename it in MLflow."
    )


def create_experiment(client: "MlflowClient", name: str, tags: dict[str, str]) -> str:
    """Return the id of the experiment of a name, which is created if need be.

    Raises:
        StoreError: There was one, and it was deleted without freeing its name.
    """
    from mlflow.exceptions import MlflowException

    location = artifact_location(client.tracking_uri, name)
    try:
        return client.create_experiment(name, artifact_location=location, tags=tags)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    check_is_not_deleted(client, name)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None, f"the experiment {name} was there a moment ago"
    return experiment.experiment_id


def find_iteration(client: "MlflowClient", name: IterationName) -> Iteration | None:
    """Return an iteration, or None where hooktune has not created it."""
    experiment = find_experiment(client, str(name))
    return None if experiment is None else iteration_from_mlflow(experiment)


def search_iterations(client: "MlflowClient", method: str | None = None) -> list[Iteration]:
    """Return all iterations, or those of one method, the oldest first."""
    found = [
        iteration
        for experiment in all_pages(
            client.search_experiments,
            filter_string=f"name LIKE '{ITERATION_PREFIX}%'",
            max_results=_PAGE,
        )
        if (iteration := iteration_from_mlflow(experiment)) is not None
        and method in (None, iteration.name.method)
    ]
    return sorted(found, key=lambda iteration: (iteration.created_at, iteration.experiment_id))


def last_finished(client: "MlflowClient", method: str) -> Iteration | None:
    """Return the iteration of a method that was the last to finish for the first time."""
    finished = [found for found in search_iterations(client, method) if found.finished_at]
    return max(finished, key=lambda iteration: iteration.finished_at or "", default=None)


def find_run(client: "MlflowClient", run_id: str) -> RunRecord | None:
    """Return a run, or None where there is none or it was deleted."""
    run = or_none(lambda: client.get_run(run_id))
    if run is None or run.info.lifecycle_stage == "deleted":
        return None
    return run_from_mlflow(run)


def runs_beginning(client: "MlflowClient", beginning: str) -> list[RunRecord]:
    """Return hooktune's runs whose ids begin so; a whole id is looked up without a search."""
    if not _BEGINNING.fullmatch(beginning):
        return []
    if len(beginning) == _RUN_ID_DIGITS:
        run = find_run(client, beginning)
        return [] if run is None else [run]
    experiments = [iteration.experiment_id for iteration in search_iterations(client)]
    if initial := find_experiment(client, INITIAL_EXPERIMENT):
        experiments.append(initial.experiment_id)
    return _search_runs(client, experiments, f"attributes.run_id LIKE '{beginning}%'")


def search_runs(
    client: "MlflowClient", experiment_id: str, filter_string: str = ""
) -> list[RunRecord]:
    """Return the runs of an experiment that hooktune made, the oldest first."""
    return _search_runs(client, [experiment_id], filter_string)


def _search_runs(
    client: "MlflowClient", experiment_ids: list[str], filter_string: str
) -> list[RunRecord]:
    if not experiment_ids:
        return []
    search = partial(client.search_runs, experiment_ids, filter_string=filter_string)
    found = map(run_from_mlflow, all_pages(search, max_results=_PAGE))
    return sorted(
        (run for run in found if run.method), key=lambda run: (run.started_at, run.run_id)
    )


def create_run(
    client: "MlflowClient",
    iteration: Iteration,
    name: str,
    tags: dict[str, str],
    params: Mapping[str, Any],
) -> RunRecord:
    """Create and describe a run; where that fails or is stopped, it is ended so."""
    run_id = create_only_run(client, iteration.experiment_id, name, tags).run_id
    try:
        describe_run(client, run_id, iteration.name.batch_id, params)
        return run_from_mlflow(client.get_run(run_id))
    except BaseException as error:
        client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise


def create_only_run(
    client: "MlflowClient", experiment_id: str, name: str, tags: Mapping[str, str]
) -> RunRecord:
    """Create a run once, also where an answer is lost and MLflow itself asks for it again.

    Where that is interrupted, what was created already is ended.
    """
    token = secrets.token_hex(16)
    tagged = {**tags, TOKEN_TAG: token}

    def created() -> "list[Run]":
        return list(client.search_runs([experiment_id], f"tags.`{TOKEN_TAG}` = '{token}'"))

    def create() -> "list[Run]":
        return created() or [client.create_run(experiment_id, run_name=name, tags=tagged)]

    try:
        try:
            client.create_run(experiment_id, run_name=name, tags=tagged)
        except Exception as error:
            if not is_away(error) and not is_refused(error):
                raise
            logger.info("it is not known whether run %s was created: %s", name, error)
            insist(create)
        run, *twins = created()
        for twin in twins:
            insist(client.delete_run, twin.info.run_id)
        return run_from_mlflow(run)
    except BaseException as error:
        if not isinstance(error, Exception):
            # A store that does not answer is not to hide that somebody has interrupted this.
            with suppress(Exception):
                for run in created():
                    client.set_terminated(run.info.run_id, "KILLED")
        raise


def describe_run(
    client: "MlflowClient", run_id: str, batch_id: str, params: Mapping[str, Any]
) -> None:
    """Record on a run its params and the batch that it is trained on, as far as it lacks them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param

    run = client.get_run(run_id)
    missing = {key: str(value) for key, value in params.items() if key not in run.data.params}
    if missing:
        client.log_batch(run_id, params=[Param(*param) for param in missing.items()])
    if run.inputs and run.inputs.dataset_inputs:
        return
    source = to_json({"batch_id": batch_id})
    dataset = Dataset(name="batch", digest=batch_id, source_type="hooktune", source=source)
    context = InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, [DatasetInput(dataset, [context])])


def all_pages(search: Callable[..., "PagedList[Entity]"], **options: Any) -> "Iterator[Entity]":
    """Yield what a search of MLflow finds, page after page."""
    token = None
    while True:
        page = search(page_token=token, **options)
        yield from page
        token = page.token
        if not token:
            return


def or_none(call: Callable[[], Entity]) -> Entity | None:
    """Return what a call of MLflow finds by an id or a name, or None where it does not know it."""
    from mlflow.exceptions import MlflowException

    try:
        return call()
    except MlflowException as error:
        if error.error_code in _NOT_FOUND:
            return None
        raise
