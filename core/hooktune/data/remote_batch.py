"""A batch that lies in an object store, for workers that share no file system."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hooktune.errors import DataError, in_words
from hooktune.processes import scratch_folder
from hooktune.progress import phase


@contextmanager
def batch_at(address: str) -> Iterator[Path]:
    """Give the folder of a batch; one of an object store is copied here, and deleted afterwards.

    Args:
        address: The folder, or an address that fsspec opens, such as `s3://bucket/week-48`.

    Raises:
        DataError: The address cannot be read.
    """
    if "://" not in address:
        yield Path(address)
        return
    with scratch_folder() as folder:
        with phase(f"fetching {address}"):
            _fetch(address, folder)
        yield folder


def _fetch(address: str, folder: Path) -> None:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(address)
        files = [name for name in system.find(path) if not name.endswith("/")]
        for name in files:
            system.get_file(name, str(folder / Path(name).name))
    except Exception as error:
        # A missing package of the protocol, credentials, a bad address: any library's own error.
        raise DataError(f"{address} cannot be read: {in_words(error)}") from error
    if not files:
        raise DataError(f"{address} holds no file, so it is not a released batch.")
