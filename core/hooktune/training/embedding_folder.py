"""A folder of embeddings: what models make of texts, by digests of both.

For each model there is a folder with two files, to which rows are only ever appended: `keys` has a
text's digest and a check of the row, `vectors-WIDTH` the embeddings in float32. Vectors are written
before their keys, so that a process which dies leaves at most vectors that nobody looks for. A row
that is not what was written fails its check, and counts as not there.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hooktune.contract.sessions import Floats, Ints, Mask
from hooktune.processes import FileLock

logger = logging.getLogger(__name__)

Keys = npt.NDArray[np.bytes_]
"""Digests of 16 bytes."""

KEY_BYTES: Final = 16

_ROW: Final = np.dtype([("text", f"S{KEY_BYTES}"), ("check", "<u8")])
_KEYS: Final = "keys"
_VECTORS: Final = "vectors-"
_ROWS_AT_ONCE: Final = 65_536
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


class EmbeddingFolder:
    """What one model makes of texts, in a folder that holds the same of other models too.

    Several processes may read and add at once.

    Args:
        root: The folder; it is made when something is added.
        model: What tells the model from others, fit for a file's name.
        most_bytes: How much all of it may take. What was not used for the longest time goes first.
    """

    def __init__(self, root: Path, model: str, most_bytes: int) -> None:
        self._root = root
        self._folder = root / model
        self._most_bytes = most_bytes
        self._seen = 0
        """How many rows there were when it was looked at."""

    def find(self, texts: Keys) -> tuple[Mask, Floats]:
        """Return which texts are known, and the embeddings of those, a row each."""
        self._seen = 0
        vectors = self._vectors()
        if vectors is None or not len(vectors):
            return np.zeros(len(texts), dtype=bool), np.empty((0, 0), dtype=np.float32)
        os.utime(self._folder)
        rows = self._rows()[: len(vectors)]
        self._seen = len(rows)
        # Of several rows of a text, the last one: it stands in for one that was damaged.
        order = np.argsort(rows["text"], kind="stable")
        last = np.searchsorted(rows["text"], texts, side="right", sorter=order) - 1
        place: Ints = order[np.maximum(last, 0)]
        known: Mask = rows["text"][place] == texts
        place = place[known]
        embeddings = np.ascontiguousarray(vectors[place], dtype=np.float32)
        is_whole = _checks(texts[known], embeddings) == rows["check"][place]
        if not is_whole.all():
            logger.warning(
                "%d of the embeddings in %s are damaged, and are made anew",
                np.count_nonzero(~is_whole), self._folder,
            )  # fmt: skip
        known[np.flatnonzero(known)[~is_whole]] = False
        return known, embeddings[is_whole]

    def add(self, texts: Keys, vectors: Floats) -> None:
        """Add the embeddings of texts that were not found, as far as there is room.

        Raises:
            OSError: They cannot be written.
        """
        vectors = np.ascontiguousarray(vectors, dtype="<f4")
        with self._locked():
            self._make_room(vectors.nbytes + len(texts) * _ROW.itemsize)
            self._folder.mkdir(exist_ok=True)
            present, width = self._whole_rows(), vectors.shape[1]
            if self._vectors_file() not in (None, self._folder / f"{_VECTORS}{width}"):
                shutil.rmtree(self._folder)  # of another kind, which no process has written
                self._folder.mkdir()
                present = 0
            # Another process may have encoded the same meanwhile.
            is_new = ~np.isin(texts, self._rows()[self._seen : present]["text"])
            texts, vectors = texts[is_new], vectors[is_new]
            rows = np.empty(len(texts), dtype=_ROW)
            rows["text"], rows["check"] = texts, _checks(texts, vectors)
            _append(self._folder / f"{_VECTORS}{width}", present * width * 4, vectors)
            _append(self._folder / _KEYS, present * _ROW.itemsize, rows)

    def remove(self) -> None:
        """Delete what there is of the model, and the folder if nothing else is in it."""
        if not self._root.is_dir():
            return
        with self._locked():
            shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._root.rmdir()
        except OSError:
            logger.debug("%s stays, it is not empty", self._root)

    def _make_room(self, more: int) -> None:
        """Delete the models that were not used for the longest time.

        Raises:
            OSError: There is no room for so much.
        """
        folders = [path.parent for path in self._root.glob(f"*/{_KEYS}")]
        others = sorted(
            (path for path in folders if path != self._folder),
            key=lambda path: path.stat().st_mtime,
        )
        taken = more + sum(map(_size, folders))
        while taken > self._most_bytes and others:
            oldest = others.pop(0)
            taken -= _size(oldest)
            logger.info("removing the embeddings of another model: %s", oldest)
            shutil.rmtree(oldest, ignore_errors=True)
        if taken > self._most_bytes:
            raise OSError(f"{self._root} holds {self._most_bytes / 1e9:.0f} GB already")

    def _rows(self) -> npt.NDArray[np.void]:
        try:
            content = (self._folder / _KEYS).read_bytes()
        except FileNotFoundError:
            content = b""
        return np.frombuffer(content[: len(content) // _ROW.itemsize * _ROW.itemsize], dtype=_ROW)

    def _vectors_file(self) -> Path | None:
        return next(iter(sorted(self._folder.glob(f"{_VECTORS}*"))), None)

    def _vectors(self) -> Floats | None:
        """Return the embeddings that have keys, mapped from their file; None without any."""
        file = self._vectors_file()
        if file is None:
            return None
        width = int(file.name.removeprefix(_VECTORS))
        count = min(file.stat().st_size // (4 * width), len(self._rows()))
        if not count:
            return None
        return np.memmap(file, "<f4", "r", shape=(count, width))

    def _whole_rows(self) -> int:
        vectors = self._vectors()
        return 0 if vectors is None else len(vectors)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._root)
        lock.acquire(wait=True)
        try:
            yield
        finally:
            lock.release()


def _append(file: Path, at: int, rows: npt.NDArray[np.generic]) -> None:
    """Write rows behind those that are whole; what a process that died wrote there is cut off."""
    with file.open("ab") as end:
        end.truncate(at)
        end.write(rows.tobytes())


def _checks(texts: Keys, vectors: Floats) -> npt.NDArray[np.uint64]:
    """Return a number for each row, which is another one if any word of 32 bits changes.

    It is the sum of all words times odd numbers, modulo 2^64.
    """
    words = KEY_BYTES // 4 + vectors.shape[1]
    factors = (np.arange(1, words + 1, dtype=np.uint64) * _GOLDEN) | np.uint64(1)
    sums = np.empty(len(texts), dtype=np.uint64)
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        keys = np.ascontiguousarray(texts[part]).view("<u4").reshape(-1, KEY_BYTES // 4)
        values = np.ascontiguousarray(vectors[part], dtype="<f4").view("<u4")
        both = np.concatenate([keys, values], axis=1).astype(np.uint64)
        sums[part] = (both * factors).sum(axis=1, dtype=np.uint64)
    return sums


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
