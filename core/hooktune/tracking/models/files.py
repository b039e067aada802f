"""Models in the tracking store: whose they are, where their files are, and deleting them."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from hooktune.tracking.connection import repository_at
from hooktune.tracking.models.safe_files import problem_of_path, refuse_unsafe
from hooktune.tracking.queries import NOT_FOUND
from hooktune.tracking.records import RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

logger = logging.getLogger(__name__)

MODEL_NAME: Final = "model"


def delete_model(client: "MlflowClient", model_id: str) -> None:
    """Delete a model's files, then its record; a model that is gone already is no error."""
    logged = find_model(client, model_id)
    if logged is None:
        return
    # The files first: once the record is deleted, nobody can find them any more.
    repository = repository_of(client, logged)
    repository.delete_artifacts()
    if local := getattr(repository, "artifact_dir", None):
        _remove_if_empty(Path(local).parent)
    client.delete_logged_model(model_id)


def find_model(client: "MlflowClient", model_id: str | None) -> "LoggedModel | None":
    """Return the record of a model, or None for one that was deleted or never was."""
    from mlflow.exceptions import MlflowException

    if model_id is None:
        return None
    try:
        return client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code in NOT_FOUND:
            return None
        raise


def models_by_run(
    client: "MlflowClient", experiment_ids: Iterable[str], *, only_whole: bool = False
) -> "dict[str, list[LoggedModel]]":
    """Return the models that runs of some experiments have uploaded, by the run they are of.

    Args:
        client: MLflow's client of the store.
        experiment_ids: The experiments.
        only_whole: Leave out what was not uploaded to its end.
    """
    from mlflow.entities import LoggedModelStatus

    found: dict[str, list[LoggedModel]] = {}
    experiments, token = list(experiment_ids), None
    while experiments:
        page = client.search_logged_models(experiments, page_token=token)
        for logged in page:
            wanted = not only_whole or logged.status == LoggedModelStatus.READY
            if wanted and logged.name == MODEL_NAME and logged.source_run_id:
                found.setdefault(logged.source_run_id, []).append(logged)
        token = page.token
        if not token:
            break
    return found


def has_model(client: "MlflowClient", run: RunRecord) -> bool:
    """Tell whether a run's model is in the store and complete."""
    from mlflow.entities import LoggedModelStatus

    logged = find_model(client, run.model_id)
    return logged is not None and logged.status == LoggedModelStatus.READY


def is_registered(client: "MlflowClient", logged: "LoggedModel") -> bool:
    """Tell whether somebody registered a model, by whatever address, so that it must stay."""
    addresses = (
        f"models:/{logged.model_id}",
        f"runs:/{logged.source_run_id}/{MODEL_NAME}",
        logged.artifact_location,
    )
    conditions = [f"run_id = '{logged.source_run_id}'"]
    conditions += [f"source_path = '{address}'" for address in addresses if "'" not in address]
    return any(client.search_model_versions(condition, max_results=1) for condition in conditions)


def repository_of(client: "MlflowClient", logged: "LoggedModel") -> Any:
    """Return MLflow's access to the files of a model."""
    return repository_at(client.tracking_uri, logged.artifact_location)


def stored_files(repository: Any, path: str | None = None) -> Iterator[tuple[str, int]]:
    """Yield the path and the size in bytes of each file in the store.

    Raises:
        UnsafeModelError: A path leads out of the model's folder.
    """
    for entry in repository.list_artifacts(path):
        refuse_unsafe("the store", problem_of_path(entry.path))
        if entry.is_dir:
            yield from stored_files(repository, entry.path)
        else:
            yield str(PurePosixPath(entry.path)), entry.file_size


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        logger.debug("%s stays, it is not empty", folder)
