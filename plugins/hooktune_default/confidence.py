"""How much a click, or its absence, is to be believed."""

from typing import Final

import numpy as np

from hooktune import Sessions
from hooktune_default.params import Params

MAX_INVERSE_PROPENSITY: Final = 10.0
"""What the weight of a click far down is bounded by, as a rare one would outweigh all others."""


def result_confidence(sessions: Sessions, params: Params) -> np.ndarray:
    """Return how much each result says; a pair's confidence is the product of its two results'.

    - `constant`: 1.
    - `position`: a result is examined with the probability that the batch's log tells of its
      position, else, at position p, with p^-eta, eta being `examination_decay`. A click counts by
      the inverse of this, bounded (inverse propensity: Joachims, Swaminathan & Schnabel 2017,
      "Unbiased learning-to-rank with biased feedback"). A result without a click counts by the
      probability itself: the less it was looked at, the less the missing click says.
    - `neighbours`: what was skipped above a click, or stands next to one, was most likely seen
      (Joachims et al. 2005, "Accurately interpreting clickthrough data as implicit feedback"). So
      a result without a click counts in full up to the place below the session's last click, and
      `neighbour_decay` to the power of the number of places further down.

    Args:
        sessions: Sessions that show R results altogether.
        params: Says which of the three.

    Returns:
        R numbers, above or equal to 0.
    """
    if params.confidence == "position":
        examined = examination(sessions, params.examination_decay)
        inverse = np.minimum(1 / examined, MAX_INVERSE_PROPENSITY)
        return np.where(sessions.clicked, inverse, examined)
    if params.confidence == "neighbours":
        last_click = np.zeros(len(sessions), dtype=np.int64)
        clicked = sessions.clicked
        np.maximum.at(last_click, sessions.session_index[clicked], sessions.positions[clicked])
        further = sessions.positions - last_click[sessions.session_index] - 1
        return np.where(clicked, 1.0, params.neighbour_decay ** np.maximum(further, 0))
    return np.ones(sessions.result_count)


def examination(sessions: Sessions, decay: float) -> np.ndarray:
    """Return how likely each of R results is looked at, beside one at the first position.

    It is what the log of the batch tells; positions beyond those that it tells of are as the last
    of them. Where it tells nothing it is p^-decay at position p.
    """
    told = sessions.examination
    if told is None:
        return sessions.positions.astype(np.float64) ** -decay
    examined: np.ndarray = told[np.minimum(sessions.positions, len(told)) - 1]
    return examined
