"""A seed that leaves the global generators as they were."""

import random
from contextlib import suppress

import numpy as np
import torch

from hooktune.contract.seeding import seeded


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_one_seed_gives_the_same_numbers_and_another_gives_others():
    with seeded(3):
        first = draw()
    with seeded(3):
        assert draw() == first
    with seeded(2**32 - 1):
        assert all(ours != theirs for ours, theirs in zip(draw(), first, strict=True))


def test_the_states_are_restored_even_after_an_error():
    with seeded(7):
        draw()
        with suppress(ValueError), seeded(3):
            draw()
            raise ValueError
        after = draw()
    with seeded(7):
        draw()
        assert draw() == after
