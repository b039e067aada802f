"""A seed for all common random generators that leaves their states as they were."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Final

import numpy as np

_TURN: Final = RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators, and restore them afterwards."""
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def seeded_alone(seed: int) -> Iterator[None]:
    """Seed as `seeded` does, and let other threads that ask for the same wait meanwhile.

    The generators belong to the process, so that two runs at once would draw each other's numbers.
    """
    with _TURN, seeded(seed):
        yield
