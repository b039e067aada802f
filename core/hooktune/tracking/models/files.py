"""Models in the tracking store: whose they are, and where their files are."""

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from hooktune.processes import scratch_folder
from hooktune.tracking.failures import insist
from hooktune.tracking.file_transfer import fetch, repository_at
from hooktune.tracking.models.safe_files import problem_of_path, refuse_unsafe
from hooktune.tracking.queries import all_pages, or_none
from hooktune.tracking.records import RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

logger = logging.getLogger(__name__)

MODEL_NAME: Final = "model"
WEIGHTS_FOLDER: Final = "model.sentence_transformer"
"""Where MLflow's flavour puts what sentence-transformers has saved."""

_LONGEST_TEXT: Final = 1_000_000


def find_model(client: "MlflowClient", model_id: str | None) -> "LoggedModel | None":
    """Return the record of a model, or None for one that was deleted or never was."""
    return None if model_id is None else or_none(lambda: client.get_logged_model(model_id))


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
    experiments = list(experiment_ids)
    search = partial(client.search_logged_models, experiments)
    for logged in all_pages(search) if experiments else ():
        wanted = not only_whole or logged.status == LoggedModelStatus.READY
        if wanted and logged.name == MODEL_NAME and logged.source_run_id:
            found.setdefault(logged.source_run_id, []).append(logged)
    return found


def has_model(client: "MlflowClient", run: RunRecord) -> bool:
    """Tell whether a run's model is in the store and complete."""
    from mlflow.entities import LoggedModelStatus

    logged = find_model(client, run.model_id)
    return logged is not None and logged.status == LoggedModelStatus.READY


def repository_of(client: "MlflowClient", logged: "LoggedModel") -> Any:
    """Return MLflow's access to the files of a model."""
    return repository_at(client.tracking_uri, logged.artifact_location)


def read_model_text(client: "MlflowClient", run: RunRecord, name: str) -> str | None:
    """Return a text among the files of a run's model; None where there is none.

    Args:
        client: MLflow's client of the store.
        run: The run.
        name: The file's name, within the folder that sentence-transformers saved.
    """
    logged = find_model(client, run.model_id)
    if logged is None:
        return None
    repository, file = repository_of(client, logged), f"{WEIGHTS_FOLDER}/{name}"
    sizes = dict(stored_files(repository, WEIGHTS_FOLDER))
    if file not in sizes:
        return None
    with scratch_folder() as folder:
        path = insist(fetch, repository, file, {file: sizes[file]}, folder)
        return path.read_bytes()[:_LONGEST_TEXT].decode("utf-8", "replace")


def stored_files(repository: Any, path: str | None = None) -> Iterator[tuple[str, int]]:
    """Yield the path and the size in bytes of each file in the store.

    Raises:
        UnsafeModelError: A path leads out of the model's folder.
    """
    for entry in insist(repository.list_artifacts, path):
        refuse_unsafe("the store", problem_of_path(entry.path))
        if entry.is_dir:
            yield from stored_files(repository, entry.path)
        else:
            yield str(PurePosixPath(entry.path)), entry.file_size
