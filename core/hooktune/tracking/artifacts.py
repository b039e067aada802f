"""The files among the artifacts of a run that hooktune reads again."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hooktune.processes import scratch_folder
from hooktune.tracking.connection import repository_at
from hooktune.tracking.failures import insist

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
    return _has(_repository_of(client, run_id), file)


def read_artifact(client: "MlflowClient", run_id: str, file: str) -> bytes | None:
    """Return a file among the artifacts of a run; None where it has no such file."""
    repository = _repository_of(client, run_id)
    if not _has(repository, file):
        return None
    if local := getattr(repository, "artifact_dir", None):
        return Path(local, file).read_bytes()
    with scratch_folder() as folder:
        return Path(insist(repository.download_artifacts, file, dst_path=str(folder))).read_bytes()


def _repository_of(client: "MlflowClient", run_id: str) -> Any:
    return repository_at(client.tracking_uri, client.get_run(run_id).info.artifact_uri)


def _has(repository: Any, file: str) -> bool:
    listed = insist(repository.list_artifacts, _folder_of(file))
    return any(entry.path == file for entry in listed)


def _folder_of(file: str) -> str | None:
    """Return the folder of an artifact as MLflow names it; None for the topmost one."""
    parent = PurePosixPath(file).parent
    return None if parent == PurePosixPath() else str(parent)
