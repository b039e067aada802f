"""Distance shift: how far tuning moved results towards their queries, or away from them."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from hooktune import Sessions

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


def distance_shift(
    sessions: "Sessions", scores: Floats, baseline: Floats
) -> dict[str, float | Floats]:
    """Measure how the similarity of results to their queries changed, against a baseline.

    - `not_irrelevant_dist_shift`: the mean, over not irrelevant sessions, of the mean rise of the
      session's clicked results.
    - `irrelevant_dist_shift`: the mean, over irrelevant sessions, of the mean fall of all the
      session's results.
    - `dist_shift_gap`: the mean, over not irrelevant sessions that show both clicked and other
      results, of the mean rise of the clicked ones less that of the others. Moving all
      similarities by the same amount leaves it as it is.

    For distances both signs flip: give them negated.

    Args:
        sessions: Sessions that show R results altogether.
        scores: For each of the R results, its similarity to its query.
        baseline: The same before tuning.

    Returns:
        The metrics by name, positive being better in each: for each session its own value, NaN
        where it defines none. A metric is NaN as a whole where a score that it needs is, and left
        out where no session defines it.
    """
    rise = np.asarray(scores, dtype=np.float64) - baseline
    of_clicked = _means(sessions, rise, sessions.clicked)
    of_others = _means(sessions, rise, ~sessions.clicked)
    shows_results = sessions.lengths > 0
    metrics = {
        "not_irrelevant_dist_shift": (of_clicked, sessions.not_irrelevant),
        "irrelevant_dist_shift": (-of_others, ~sessions.not_irrelevant & shows_results),
        "dist_shift_gap": (of_clicked - of_others, _shows_both(sessions)),
    }
    return {name: _of_each(*found) for name, found in metrics.items() if found[1].any()}


def _of_each(values: Floats, defined: Mask) -> float | Floats:
    # What a broken model's NaN has made is not to be taken for a session without a value.
    if np.isnan(values[defined]).any():
        return math.nan
    return np.where(defined, values, np.nan)


def _means(sessions: "Sessions", values: Floats, picked: Mask) -> npt.NDArray[np.float64]:
    """Return the mean over each session's picked results; 0 where none is picked."""
    totals = sessions.sum_per_session(np.where(picked, values, 0))
    return totals / np.maximum(sessions.sum_per_session(picked), 1)


def _shows_both(sessions: "Sessions") -> Mask:
    clicked = sessions.sum_per_session(sessions.clicked)
    return (clicked > 0) & (clicked < sessions.lengths)
