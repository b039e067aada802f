"""What the starting model makes of texts, kept for good or until an iteration has ended."""

import hashlib
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import torch

from hooktune.contract.encoding import Task
from hooktune.contract.sessions import Floats, Ints, Mask
from hooktune.training.embedding_folder import KEY_BYTES, EmbeddingFolder, Keys
from hooktune.training.process_group import ProcessGroup

logger = logging.getLogger(__name__)

Keep = Callable[[Ints, torch.Tensor], None]
"""Takes the embeddings of some of the texts that are encoded, by their places among these."""

MOST_BYTES: Final = 20 * 10**9
"""How much a folder may take that the user names: 13 million embeddings of MiniLM."""

_MOST_TEMPORARY_BYTES: Final = 2 * 10**9
_WRITTEN_EVERY: Final = 5.0  # seconds: what may have to be encoded again


class KeptEmbeddings:
    """Keeps what one model makes of texts in a folder, and finds it there.

    A folder that cannot be used costs a warning, and everything is encoded.

    Args:
        tell: Returns what tells the model from others, as the name of a folder.
        root: The folder that the user names; None for a temporary one, in which what takes some
            seconds waits for another try, should the process die.
    """

    def __init__(self, tell: Callable[[], str], root: Path | None) -> None:
        self._tell = tell
        self._is_temporary = root is None
        self._root: Path | None = _temporary_root() if root is None else root
        self._folder: EmbeddingFolder | None = None
        self._waiting: list[tuple[Keys, Floats]] = []
        self._written = time.monotonic()

    def find(self, texts: pa.LargeStringArray, rows: Ints, task: Task) -> tuple[Mask, Floats]:
        """Return which of some texts are known, and the embeddings of those, a row each."""
        self._written = time.monotonic()
        nothing = np.zeros(len(rows), dtype=bool), np.empty((0, 0), dtype=np.float32)
        if self._root is None or not self._root.is_dir():
            return nothing
        try:
            return self._opened(self._root).find(_keys(texts, rows, task))
        except (OSError, ValueError) as error:
            self._give_up(error)
            return nothing

    def add(
        self, texts: pa.LargeStringArray, rows: Ints, task: Task, embeddings: torch.Tensor
    ) -> None:
        """Take the embeddings of some texts, which are written from time to time."""
        if self._root is None:
            return
        vectors = embeddings.detach().float().cpu().numpy()
        self._waiting.append((_keys(texts, rows, task), vectors))
        if time.monotonic() - self._written >= _WRITTEN_EVERY:
            self._write(self._root)

    def finish(self) -> None:
        """Write what is left of an encoding; a short one is not worth a temporary folder."""
        if self._root is not None and (not self._is_temporary or self._folder is not None):
            self._write(self._root)
        self._waiting.clear()

    def discard(self) -> None:
        """Delete what is kept, unless the user has named the folder."""
        if self._is_temporary and self._root is not None and self._root.is_dir():
            try:
                self._opened(self._root).remove()
            except OSError as error:
                logger.debug("%s stays: %s", self._root, error)

    def _write(self, root: Path) -> None:
        if not self._waiting:
            return
        texts, vectors = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting.clear()
        try:
            if self._is_temporary:
                root.mkdir(mode=0o700, exist_ok=True)
            self._opened(root).add(texts, vectors)
        except OSError as error:
            self._give_up(error)
        self._written = time.monotonic()

    def _opened(self, root: Path) -> EmbeddingFolder:
        if self._folder is None:
            if self._is_temporary and not _is_own(root):
                raise PermissionError(f"{root} is not this user's alone")
            most = _MOST_TEMPORARY_BYTES if self._is_temporary else MOST_BYTES
            self._folder = EmbeddingFolder(root, self._tell(), most)
        return self._folder

    def _give_up(self, error: Exception) -> None:
        level = logging.DEBUG if self._is_temporary else logging.WARNING
        logger.log(level, "embeddings are not kept: %s", error)
        self._root = None


def encode_once(
    kept: KeptEmbeddings,
    group: ProcessGroup,
    texts: pa.LargeStringArray,
    rows: Ints,
    task: Task,
    device: torch.device,
    encode: Callable[[Ints, Keep], tuple[Ints, torch.Tensor]],
) -> tuple[Ints, torch.Tensor]:
    """Encode what is not known of some distinct texts, and keep that; all processes must call it.

    Args:
        kept: What is known.
        group: The processes that encode together; what the leading one knows counts.
        texts: Distinct texts.
        rows: Which of them are wanted.
        task: By which prompt and route they are encoded.
        device: Where the embeddings are to be.
        encode: Encodes rows, hands over the embeddings as they come, and returns for each row its
            place among all of them.

    Returns:
        For each of `rows` its row in the embeddings, and these.
    """
    is_known, vectors = group.lead(lambda: kept.find(texts, rows, task))
    known = torch.from_numpy(vectors).to(device)
    if len(rows) and is_known.all():
        return np.arange(len(rows)), known
    missing = rows[~is_known]

    def keep(places: Ints, embeddings: torch.Tensor) -> None:
        kept.add(texts, missing[places], task, embeddings)

    try:
        places, encoded = encode(missing, keep)
    finally:
        kept.finish()
    row_of = np.empty(len(rows), dtype=np.int64)
    row_of[~is_known] = places
    row_of[is_known] = len(encoded) + np.arange(len(known))
    return row_of, torch.cat([encoded, known]) if len(known) else encoded


def _temporary_root() -> Path:
    """Return a folder that another process of this user finds again on this machine."""
    return Path(tempfile.gettempdir(), f"hooktune-embeddings-{os.getuid()}")


def _is_own(folder: Path) -> bool:
    """Tell whether nobody else could have put something into a folder among temporary files."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _keys(texts: pa.LargeStringArray, rows: Ints, task: Task) -> Keys:
    """Return the digests of some texts, each as what a task asks of it."""
    chosen = texts.take(pa.array(rows)).to_pylist()
    digests = (
        hashlib.blake2b(text.encode(), digest_size=KEY_BYTES, person=task.encode()).digest()
        for text in chosen
    )
    return np.frombuffer(b"".join(digests), dtype=f"S{KEY_BYTES}")
