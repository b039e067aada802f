"""Draws that heed no result: at random, spread evenly, or from a grid."""

import math
from typing import Final

import numpy as np

from hooktune import Proposal, Search, SearchChoices

_GRID_POINTS: Final = 5
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_APART: Final = 1021
"""How far the points of two attempts lie apart in the sequence: an odd number, as points that are
a power of two apart fall into the same part of the space."""


def random_draw(search: Search) -> Proposal | None:
    """Draw each hyper-parameter for itself."""
    if not search.dimensions:
        return None
    random = np.random.default_rng([search.seed, search.number, search.attempt])
    places = {dimension.name: random.random() for dimension in search.dimensions}
    return Proposal(search.at(places), "a random draw")


def from_sobol(search: Search) -> Proposal | None:
    """Take the run's point of a scrambled Sobol sequence (Sobol, 1967; Owen, 1998)."""
    if not search.dimensions:
        return None
    return Proposal(search.at(sobol_places(search)), "a Sobol sequence")


def sobol_places(search: Search) -> dict[str, float]:
    """Return the places between 0 and 1 that a Sobol sequence has for a run, by name."""
    from scipy.stats import qmc  # takes a second, which not every sampler is to wait for

    sequence = qmc.Sobol(len(search.dimensions), scramble=True, seed=search.seed)
    # SciPy cannot go forward by nothing from the first point.
    if point_number := search.number + search.attempt * _APART:
        sequence.fast_forward(point_number)
    point = sequence.random(1)[0]
    names = [dimension.name for dimension in search.dimensions]
    return dict(zip(names, map(float, point), strict=True))


def from_grid(search: Search) -> Proposal | None:
    """Take the run's point of a grid, whose order leaps through it; None where all were taken."""
    counts = [
        len(dimension.mark.values)
        if isinstance(dimension.mark, SearchChoices)
        else min(dimension.count or _GRID_POINTS, _GRID_POINTS)
        for dimension in search.dimensions
    ]
    total, index = math.prod(counts), search.number + search.attempt
    if not search.dimensions or index >= total:
        return None
    place = (index * _leap(total) + search.seed) % total
    places = {}
    for dimension, count in zip(search.dimensions, counts, strict=True):
        place, digit = divmod(place, count)
        is_choice = isinstance(dimension.mark, SearchChoices)
        places[dimension.name] = (
            (digit + 0.5) / count if is_choice or count == 1 else digit / (count - 1)
        )
    return Proposal(search.at(places), f"a grid of {total}")


def _leap(total: int) -> int:
    """Return a step that visits all of so many places, and neighbours long after each other."""
    leap = max(round(total * _GOLDEN), 1)
    while math.gcd(leap, total) != 1:
        leap += 1
    return leap
