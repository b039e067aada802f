"""Where the states of texts above a model's lowest layers lie: in memory, or in a file."""

import os
import tempfile
import weakref
from typing import Final

import numpy as np
import torch

from hooktune.contract.sessions import Ints
from hooktune.training.tokens import Tokens

MEMORY_BUDGET: Final = 2 * 1024**3
"""How many bytes of states are kept in memory at most; more of them are kept in a file."""
MEMORY_BUDGET_BESIDE_FILES: Final = 32 * 1024**2
"""The same where a file costs no time, as the processor that computes reads it by itself."""


def memory_budget(device: torch.device | str) -> int:
    """Return how many bytes of states are kept in memory, where there is room for a file."""
    is_cpu = torch.device(device).type == "cpu"
    return MEMORY_BUDGET_BESIDE_FILES if is_cpu else MEMORY_BUDGET


class StatesInMemory:
    """The states of all tokens of some texts as one tensor.

    Args:
        tokens: The texts.
        width: How many numbers there are for each token.
        device: Where they are kept.
    """

    def __init__(self, tokens: Tokens, width: int, device: torch.device) -> None:
        self._tokens = tokens
        self._states = torch.empty((int(tokens.offsets[-1]), width), device=device)

    def padded(self, rows: Ints) -> torch.Tensor:
        """Return the states of some texts: a tensor of texts x tokens x width."""
        places, _ = self._tokens.places(rows)
        flat = torch.from_numpy(places.ravel()).to(self._states.device)
        return self._states.index_select(0, flat).view(*places.shape, -1)

    def keep(self, rows: Ints, states: torch.Tensor) -> None:
        """Keep the states of some texts.

        Args:
            rows: The texts.
            states: Tokens x width: the states of the first text's tokens, then the next one's.
        """
        places, is_token = self._tokens.places(rows)
        where = torch.from_numpy(places[is_token]).to(self._states.device)
        self._states[where] = states.to(self._states.device)


class StatesInFile:
    """The states of all tokens of some texts in a file.

    It is read and written, not mapped: what of it lies in memory then is the system's own cache,
    which makes way for whoever needs the memory.

    Args:
        tokens: The texts.
        width: How many numbers there are for each token.
        file: A file that is open to be read and written; it may be closed afterwards.

    Raises:
        OSError: They do not fit the disk.
    """

    def __init__(self, tokens: Tokens, width: int, file: int) -> None:
        self._tokens = tokens
        self._width = width
        reserve(file, _bytes(int(tokens.offsets[-1]), width))
        self._file = os.dup(file)
        weakref.finalize(self, os.close, self._file)

    def padded(self, rows: Ints) -> torch.Tensor:
        """As `StatesInMemory.padded` has it; padding is zero."""
        _, is_token = self._tokens.places(rows)
        states = np.zeros((*is_token.shape, self._width), np.float32)
        for row, of_row, first in zip(rows, states, is_token.argmax(axis=1), strict=True):
            of_text = of_row[first : first + self._tokens.lengths[row]]
            if os.preadv(self._file, [of_text], self._place(row)) != of_text.nbytes:
                raise OSError("what the frozen layers gave is no longer in its temporary file")
        return torch.from_numpy(states)

    def keep(self, rows: Ints, states: torch.Tensor) -> None:
        """As `StatesInMemory.keep` has it."""
        ends = np.cumsum(self._tokens.lengths[rows])
        for row, of_text in zip(rows, np.split(states.cpu().numpy(), ends[:-1]), strict=True):
            if os.pwrite(self._file, of_text.tobytes(), self._place(row)) != of_text.nbytes:
                raise OSError("what the frozen layers gave did not fit its temporary file")

    def _place(self, row: int) -> int:
        return _bytes(int(self._tokens.offsets[row]), self._width)


def open_states(tokens: Tokens, width: int, device: torch.device) -> StatesInMemory | StatesInFile:
    """Return a place for the states of all texts.

    Args:
        tokens: The texts.
        width: How many numbers there are for each token.
        device: Where they are used, and kept while they fit the memory budget.

    Raises:
        OSError: They fit neither the memory budget nor the temporary folder.
    """
    size = _bytes(int(tokens.offsets[-1]), width)
    if size > memory_budget(device):
        try:
            # Nameless, so that it goes with the process, whatever ends it.
            with tempfile.TemporaryFile(prefix="hooktune-") as file:
                return StatesInFile(tokens, width, file.fileno())
        except OSError:
            if size > MEMORY_BUDGET:
                raise
    return StatesInMemory(tokens, width, device)


def reserve(file: int, size: int) -> None:
    """Take the space of a file on its disk: that it is full must be told now, not in training.

    Raises:
        OSError: There is no such space.
    """
    take = getattr(os, "posix_fallocate", None)
    if take is None:
        os.truncate(file, size)
    else:
        take(file, 0, max(size, 1))


def _bytes(tokens: int, width: int) -> int:
    return np.dtype(np.float32).itemsize * tokens * width
