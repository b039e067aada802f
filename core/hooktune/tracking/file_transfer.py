"""Files to and from the store, each looked up there: a gateway may answer in the store's place.

Its page with status 200 passes for a file that was stored, deleted or fetched.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from hooktune.errors import HooktuneError
from hooktune.tracking.failures import NotWholeError, insist


def repository_at(tracking_uri: str, address: str) -> Any:
    """Return MLflow's access to the files at an address of a store."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(address, tracking_uri=tracking_uri, registry_uri=tracking_uri)


def local_folder(repository: Any) -> Path | None:
    """Return where files of a local store are; None where they come from elsewhere."""
    folder = getattr(repository, "artifact_dir", None)
    return None if folder is None else Path(folder)


def sizes_of(folder: Path) -> dict[str, int]:
    """Return the size in bytes of each file of a folder, by its path in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def check_arrived(repository: Any, sent: Mapping[str, int], to: str | None = None) -> None:
    """Make sure that files are in the store as they were sent.

    Args:
        repository: MLflow's access to the files.
        sent: The sizes of the files in bytes, by their paths.
        to: The folder in the repository that the paths begin from.

    Raises:
        NotWholeError: Some are not, in a store that is reached over a network.
        HooktuneError: The same in a local one.
    """
    wanted = {str(PurePosixPath(to or "", path)): size for path, size in sent.items()}
    stored: dict[str, int] = {}
    for folder in {str(PurePosixPath(path).parent) for path in wanted}:
        entries = insist(repository.list_artifacts, None if folder == "." else folder)
        stored |= {entry.path: entry.file_size for entry in entries if not entry.is_dir}
    wrong = sorted(path for path, size in wanted.items() if stored.get(path) != size)
    if not wrong:
        return
    problem = f"did not arrive whole in the store: {', '.join(wrong)}. Check"
    if local_folder(repository):
        raise HooktuneError(f"Files {problem} its free space and permissions, and run it again.")
    raise NotWholeError(
        f"Files {problem} its free space and permissions and the gateways before it, and give the "
        "same command again."
    )


def fetch(repository: Any, path: str, sizes: Mapping[str, int], to: Path) -> Path:
    """Download a file or a folder, and return where it lies.

    Args:
        repository: MLflow's access to the files.
        path: What to download; "" for all.
        sizes: The sizes of the files in bytes that the store states, by their paths.
        to: The folder that it goes into; what is there is overwritten.

    Raises:
        NotWholeError: Something else than the files came.
    """
    fetched = Path(repository.download_artifacts(path, dst_path=str(to)))
    came = sizes_of(to)
    wrong = sorted(name for name, size in sizes.items() if came.get(name) != size)
    if wrong:
        raise NotWholeError(
            f"Files did not come whole out of the store: {', '.join(wrong)}. Check the gateways "
            "before it, and give the same command again."
        )
    return fetched


def remove(repository: Any, path: str | None = None) -> None:
    """Delete a folder of the store or, without a path, all that is there.

    Raises:
        NotWholeError: Something is left.
    """
    repository.delete_artifacts(path)
    if repository.list_artifacts(path):
        raise NotWholeError(
            f"Files stay in the store though they were deleted: {path or 'those of a model'}. "
            "Check the gateways before it, and give the same command again."
        )
