"""How the similarities of shown results to their queries are spread."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from hooktune.contract.sessions import Floats, Ints, Sessions

BINS: Final = 400
"""In how many equal parts of `LEAST` to `GREATEST` results are counted."""
LEAST: Final = -1.0
GREATEST: Final = 1.0
_MOST_BARS: Final = 40


@dataclass(frozen=True, eq=False)
class Similarities:
    """How the similarities of shown results to their queries are spread.

    Each array counts the results in each of 400 equal parts of -1 to 1.
    """

    clicked: Ints
    others: Ints


def count_similarities(sessions: Sessions, scores: Floats) -> Similarities:
    """Count the results of some sessions by their similarity.

    Args:
        sessions: Sessions that show R results altogether.
        scores: For each of them its similarity; a NaN is counted nowhere.
    """
    clipped = np.clip(scores, LEAST, GREATEST)  # rounding may lead a little outside

    def counts(which: Floats) -> Ints:
        return np.histogram(which, bins=BINS, range=(LEAST, GREATEST))[0]

    return Similarities(counts(clipped[sessions.clicked]), counts(clipped[~sessions.clicked]))


def bar_edges(counts: Ints) -> Ints:
    """Return at which bins bars begin, and the last one ends, so few that they can be told apart.

    Args:
        counts: The results in each of the 400 parts; the bars stand around all that is counted.
    """
    used = np.flatnonzero(counts)
    first, last = (used[0], used[-1] + 1) if len(used) else (0, BINS)
    width = -(-(last - first) // _MOST_BARS)
    edges: Ints = np.arange(first, last + width, width)
    return np.minimum(edges, BINS)
