"""The bundled metrics: distance shift, and how well the clicked results are ranked."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hooktune import hookimpl
from hooktune_metrics.distance_shift import distance_shift
from hooktune_metrics.ranking import ranking_quality

if TYPE_CHECKING:
    from hooktune import Sessions


@hookimpl
def compute_metrics(
    sessions: "Sessions",
    scores: npt.NDArray[np.floating[Any]],
    baseline: npt.NDArray[np.floating[Any]],
) -> dict[str, float]:
    """Return the distance shifts and the ranking metrics that are defined for these sessions."""
    return distance_shift(sessions, scores, baseline) | ranking_quality(sessions, scores)
