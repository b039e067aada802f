"""The files among the artifacts of a run that hooktune reads again."""

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from hooktune.processes import scratch_folder
from hooktune.tracking.failures import insist
from hooktune.tracking.file_transfer import fetch, local_folder, repository_at

if TYPE_CHECKING:
    from mlflow import MlflowClient


def write_artifact(client: "MlflowClient", run_id: str, content: bytes, file: str) -> None:
    """Store a file as an artifact of a run, in place of one that is there."""
    with scratch_folder() as folder:
        path = folder / PurePosixPath(file).name
        path.write_bytes(content)
        client.log_artifact(run_id, str(path), _folder_of(file))


def has_artifact(client: "MlflowClient", run_id: str, file: str) -> bool:
    """Tell whether a run has a file among its artifacts."""
    return file in _sizes_beside(_repository_of(client, run_id), file)


def read_artifact(client: "MlflowClient", run_id: str, file: str) -> bytes | None:
    """Return a file among the artifacts of a run; None where it has no such file."""
    repository = _repository_of(client, run_id)
    size = _sizes_beside(repository, file).get(file)
    if size is None:
        return None
    if local := local_folder(repository):
        return (local / file).read_bytes()
    with scratch_folder() as folder:
        return insist(fetch, repository, file, {file: size}, folder).read_bytes()


def _repository_of(client: "MlflowClient", run_id: str) -> Any:
    return repository_at(client.tracking_uri, client.get_run(run_id).info.artifact_uri)


def _sizes_beside(repository: Any, file: str) -> dict[str, int]:
    """Return the sizes in bytes of the files in a file's folder, by their paths."""
    listed = insist(repository.list_artifacts, _folder_of(file))
    return {entry.path: entry.file_size for entry in listed if not entry.is_dir}


def _folder_of(file: str) -> str | None:
    """Return the folder of an artifact as MLflow names it; None for the topmost one."""
    parent = PurePosixPath(file).parent
    return None if parent == PurePosixPath() else str(parent)
