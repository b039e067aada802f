"""Stopping a run that falls behind: told by the test queries, or by the median of the others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hooktune.contract.interval import p_in_words
from hooktune.iteration.limits import PruneKind

Floats = npt.NDArray[np.floating[Any]]

_LEVEL: Final = 0.01
"""How rarely a run that is as good as the best one is to be stopped, at each look."""
_FEWEST_QUERIES: Final = 20
"""How many queries have to differ before they tell anything."""
_FEWEST_RUNS: Final = 3
"""How many runs a median is taken of at least."""
_SOONEST: Final = 0.2
"""The share of its training that every run may have."""


@dataclass(frozen=True, eq=False)
class Course:
    """How a run came along: what each test query had at each evaluation, more being better."""

    shares: list[float] = field(default_factory=list)
    """How much of its training was done, from 0 to 1, at each of E evaluations."""
    values: list[Floats] = field(default_factory=list)
    """For each of them the values of the Q test queries, or of the sessions."""

    def add(self, share: float, values: Floats) -> None:
        """Take in an evaluation; one at the same share replaces the one before."""
        if self.shares and self.shares[-1] >= share:
            del self.shares[-1], self.values[-1]
        self.shares.append(share)
        self.values.append(values)

    def at(self, share: float) -> Floats | None:
        """Return the values at the last evaluation up to a share; None where there is none."""
        known = [place for place, each in enumerate(self.shares) if each <= share + 1e-9]
        return self.values[known[-1]] if known else None


@dataclass(frozen=True, eq=False)
class Pruner:
    """Tells of a run whether it has fallen behind others of its iteration.

    Args:
        kind: By what it is told.
        others: The courses of the runs that have finished, the best one first.
    """

    kind: PruneKind
    others: Sequence[Course]

    def reason(self, course: Course) -> str | None:
        """Return why a run is to be stopped at its last evaluation; None where it is not."""
        share = course.shares[-1]
        if share < _SOONEST or share >= 1:
            return None
        found = [values for other in self.others if (values := other.at(share)) is not None]
        own = course.values[-1]
        found = [values for values in found if len(values) == len(own)]
        if self.kind == "median":
            return _behind_median(own, found, share)
        has_best = bool(found) and self.others[0].at(share) is not None
        return _behind_best(own, found[0], share) if has_best else None


def _behind_median(own: Floats, others: list[Floats], share: float) -> str | None:
    if len(others) < _FEWEST_RUNS:
        return None
    median, mean = float(np.median([np.nanmean(each) for each in others])), float(np.nanmean(own))
    if not mean < median:
        return None
    return (
        f"after {share:.0%} of its training it had {mean:.4f}, and the median of "
        f"{len(others)} runs {median:.4f}"
    )


def _behind_best(own: Floats, best: Floats, share: float) -> str | None:
    """Compare by the signed ranks of the queries' differences (Wilcoxon, 1945), one-sided."""
    from scipy.stats import wilcoxon

    differences = own.astype(np.float64) - best
    differences = differences[np.isfinite(differences)]
    differing = int(np.count_nonzero(differences))
    if differing < _FEWEST_QUERIES or not differences.mean() < 0:
        return None
    p = float(wilcoxon(differences, alternative="less", method="approx").pvalue)
    if math.isnan(p) or p >= _LEVEL:
        return None
    return (
        f"after {share:.0%} of its training it was {-differences.mean():.4f} behind the best run: "
        f"{differing} queries differ, p {p_in_words(p)}"
    )
