"""The bundled metrics: distance shift, and how well the clicked results are ranked."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hooktune import MetricDescription, hookimpl
from hooktune_metrics.distance_shift import distance_shift
from hooktune_metrics.ranking import ranking_quality

if TYPE_CHECKING:
    from hooktune import Sessions


_DESCRIPTIONS = {
    "not_irrelevant_dist_shift": "How far clicked results have moved towards their queries.",
    "irrelevant_dist_shift": "How far results of sessions without a click have moved away.",
    "dist_shift_gap": "How much further clicked results have moved than the others beside them.",
    "ndcg_at_10": "How high clicked results are ranked among the first ten, 1 being the best.",
    "mrr": "The mean of 1 / rank of the clicked result that is ranked best.",
}


@hookimpl
def describe_metrics() -> list[MetricDescription]:
    """Describe the metrics, of all of which more is better."""
    return [
        MetricDescription(name, greater_is_better=True, description=description)
        for name, description in _DESCRIPTIONS.items()
    ]


@hookimpl
def compute_metrics(
    sessions: "Sessions",
    scores: npt.NDArray[np.floating[Any]],
    baseline: npt.NDArray[np.floating[Any]],
) -> dict[str, float | npt.NDArray[np.floating[Any]]]:
    """Return the distance shifts and the ranking metrics that are defined for these sessions."""
    return {**distance_shift(sessions, scores, baseline), **ranking_quality(sessions, scores)}
