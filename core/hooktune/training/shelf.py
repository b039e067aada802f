"""Arrays that the workers of one machine compute once, and share by memory map."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from hooktune.processes import SHARED_VARIABLE, FileLock

logger = logging.getLogger(__name__)

_SMALL: Final = 1_000_000
"""A file of less bytes is read: an empty one cannot be mapped."""

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Shelf:
    """A folder of what follows from one starting model and is the same for all workers.

    Whoever launched them deletes it.
    """

    folder: Path

    @staticmethod
    def given(tell: Callable[[], str]) -> "Shelf | None":
        """Return the shelf of a starting model in the folder that workers of this machine share.

        Args:
            tell: Returns what tells the model from others, as the name of a folder.

        Returns:
            The shelf; None where this is no worker, or one of a machine without such a folder.
        """
        shared = os.environ.get(SHARED_VARIABLE)
        if shared is None or not Path(shared).is_dir():
            return None
        folder = Path(shared) / tell()
        folder.mkdir(exist_ok=True)
        return Shelf(folder)

    @contextmanager
    def alone(self, name: str) -> Iterator[Path]:
        """Give the path of something on the shelf, which only this process may make meanwhile."""
        lock = FileLock(self.folder / f"{name}.lock")
        lock.acquire(wait=True)
        try:
            yield self.folder / name
        finally:
            lock.release()

    def arrays(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return arrays that one process makes; the others wait for it.

        Args:
            name: Tells what they are.
            make: Makes them, by their names.
        """
        with self.alone(name) as folder:
            if not folder.is_dir():
                made = make()
                try:
                    _put(made, folder)
                except OSError as error:
                    logger.warning("what workers compute alike cannot be shared: %s", error)
                    return made
        return {file.stem: _mapped(file) for file in folder.glob("*.npy")}


def _put(arrays: Arrays, folder: Path) -> None:
    """Write arrays into a new folder, which is there only when all of them are."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        inner = Path(unfinished) / folder.name
        inner.mkdir()
        for name, values in arrays.items():
            np.save(inner / f"{name}.npy", values)
        inner.rename(folder)


def _mapped(file: Path) -> npt.NDArray[Any]:
    # Torch warns of arrays that cannot be written; whatever is written here stays in this process.
    mode: Literal["c"] | None = None if file.stat().st_size < _SMALL else "c"
    found: npt.NDArray[Any] = np.load(file, mmap_mode=mode)
    return found
