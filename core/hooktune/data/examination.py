"""What training takes for the chance that a position is looked at, from what a log tells of it."""

from typing import Final

import numpy as np

from hooktune.contract.sessions import Floats
from hooktune.data.position_bias import FOLDS, MAX_POSITIONS, PositionBias, errors_to_a_side

_USUAL_DECAY: Final = 0.5
_USUAL_ERROR: Final = 0.5
"""How far the decay of a log lies from the usual one, as a standard deviation."""

_LEAST_ERROR: Final = 1e-3


def smoothed(bias: PositionBias) -> Floats:
    """Return how likely each of the first 20 positions is looked at, beside the first.

    Far down a log tells little, and whoever divides by an estimate that is too low by chance lets
    a few clicks decide. So each estimate is drawn to a power law p^-eta, the more the wider its
    interval is beside the spread of the estimates about the law (empirical Bayes: Morris 1983,
    "Parametric empirical Bayes inference"; the spread by moments: DerSimonian & Laird 1986,
    "Meta-analysis in clinical trials"). eta is that of the log, drawn to 0.5 as far as the log
    tells little. Positions that the log does not tell of are those of the law.

    Args:
        bias: What the log tells.
    """
    logs = np.log(np.arange(1, MAX_POSITIONS + 1))
    told = bias.positions[1:]
    seen = np.log([each.probability for each in told])
    reach = np.log([each.high / each.probability for each in told])
    error = np.maximum(reach / errors_to_a_side(FOLDS), _LEAST_ERROR)
    places = logs[1 : len(told) + 1]
    decay = _decay(places, seen, error**2)
    spread = _spread(places, seen + decay * places, error**2)
    decay = _decay(places, seen, error**2 + spread)
    law = -decay * logs
    law[1 : len(told) + 1] += spread / (spread + error**2) * (seen + decay * places)
    smooth: Floats = np.exp(law)
    return smooth


def _decay(places: Floats, seen: Floats, variance: Floats) -> float:
    weights, usual = 1 / variance, 1 / _USUAL_ERROR**2
    return float(
        (usual * _USUAL_DECAY - (weights * places * seen).sum())
        / (usual + (weights * places**2).sum())
    )


def _spread(places: Floats, beside: Floats, variance: Floats) -> float:
    """Return the variance of the positions about the law, beyond that of their estimates."""
    if len(places) < 2:
        return 0.0
    weights = 1 / variance
    surplus = (weights * beside**2).sum() - (len(places) - 1)
    scale = weights.sum() - (weights**2 * places**2).sum() / (weights * places**2).sum()
    return max(0.0, float(surplus / scale))
