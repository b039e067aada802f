"""Deleting models: the one place where it is done, and where it is asked which ones must stay."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hooktune.tracking.failures import insist
from hooktune.tracking.file_transfer import local_folder, remove
from hooktune.tracking.models.files import MODEL_NAME, find_model, repository_of
from hooktune.tracking.queries import find_run, or_none, search_iterations
from hooktune.tracking.records import Iteration

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

logger = logging.getLogger(__name__)


def delete_model(client: "MlflowClient", model_id: str) -> bool:
    """Delete a model's files, then its record, unless it is whole and somebody still wants it.

    Returns:
        Whether it is gone; a model that was gone already is, too.
    """
    from mlflow.entities import LoggedModelStatus

    logged = find_model(client, model_id)
    if logged is None:
        return True
    is_whole = logged.status == LoggedModelStatus.READY
    if is_whole and (reason := _reason_to_stay(client, logged)):
        logger.info("the model of run %s stays: %s", logged.source_run_id, reason)
        return False
    # The files first: once the record is deleted, nobody can find them any more.
    repository = repository_of(client, logged)
    insist(remove, repository)
    if local := local_folder(repository):
        _remove_if_empty(local.parent)
    # Gone already where this is done again, because the answer was lost.
    insist(or_none, lambda: client.delete_logged_model(model_id))
    return True


def _reason_to_stay(client: "MlflowClient", logged: "LoggedModel") -> str | None:
    """Say why a whole model must not be deleted; None where it may be."""
    run = find_run(client, logged.source_run_id) if logged.source_run_id else None
    if run is not None and run.batch_id is None and run.status == "FINISHED":
        return "it is an initial model"
    if logged.source_run_id in wanted_runs(search_iterations(client)):
        return "an iteration starts from it, or keeps it as its best"
    if _is_registered(client, logged):
        return "it is registered"
    return None


def wanted_runs(iterations: Iterable[Iteration]) -> set[str]:
    """Return the runs whose models are still needed by an iteration of any method.

    Those are the starting and the best models of iterations that have not finished, and what each
    method's next iteration starts from.
    """
    wanted: set[str | None] = set()
    last: dict[str, Iteration] = {}
    for iteration in iterations:
        method = iteration.name.method
        if iteration.finished_at is None:
            wanted |= {iteration.starting_run, iteration.best_run}
        elif method not in last or iteration.finished_at > (last[method].finished_at or ""):
            last[method] = iteration
    wanted |= {iteration.next_start for iteration in last.values()}
    return {run_id for run_id in wanted if run_id is not None}


def _is_registered(client: "MlflowClient", logged: "LoggedModel") -> bool:
    """Tell whether somebody registered a model, by whatever address."""
    addresses = (
        f"models:/{logged.model_id}",
        f"runs:/{logged.source_run_id}/{MODEL_NAME}",
        logged.artifact_location,
    )
    conditions = [f"run_id = '{logged.source_run_id}'"]
    conditions += [f"source_path = '{address}'" for address in addresses if "'" not in address]
    return any(client.search_model_versions(condition, max_results=1) for condition in conditions)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        logger.debug("%s stays, it is not empty", folder)
