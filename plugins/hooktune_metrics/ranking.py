"""How well the clicked results of a session are ranked by their similarity to its query."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from hooktune import Sessions

Floats = npt.NDArray[np.floating[Any]]

CUTOFF: Final = 10


def ranking_quality(
    sessions: "Sessions", scores: Floats, *, distance: bool = False
) -> dict[str, float]:
    """Measure the ranking of the clicked results, over not irrelevant sessions.

    - `ndcg_at_10`: normalised discounted cumulated gain (Järvelin & Kekäläinen, 2002), the gain
      being 1 for a clicked result. The discount is 1 / log2(1 + rank), as has become usual; the
      paper's own begins at the third rank only.
    - `mrr`: the mean of 1 / rank of the clicked result that is ranked best.

    Results with one score stand in an arbitrary order that is drawn from the query and the item
    and is the same in every run. It knows neither clicks nor the order in which the results were
    shown, so that a model that tells no results apart ranks as well as chance.

    Args:
        sessions: Sessions that show R results altogether.
        scores: For each of the R results, its similarity to its query; a NaN is ranked last.
        distance: `scores` are distances, the least of which is ranked first.

    Returns:
        The figures by name; none if every session is irrelevant.
    """
    if not sessions.not_irrelevant.any():
        return {}
    best_first = scores if distance else -scores
    order = np.lexsort((_tie_order(sessions), best_first, sessions.session_index))
    clicked = np.flatnonzero(sessions.clicked[order])
    # A session's results keep their slice when they are sorted: only their order in it changes.
    session = sessions.session_index[clicked]
    rank = clicked - sessions.offsets[session] + 1

    discount = np.append(1 / np.log2(np.arange(2, CUTOFF + 2)), 0)
    gains = discount[np.minimum(rank, CUTOFF + 1) - 1]
    counts = np.bincount(session, minlength=len(sessions))
    ideal = np.cumsum(discount)[np.minimum(counts[session], CUTOFF) - 1]
    first = np.diff(session, prepend=-1) > 0
    return {
        "ndcg_at_10": float((gains / ideal).sum() / first.sum()),
        "mrr": float((1 / rank[first]).mean()),
    }


def _tie_order(sessions: "Sessions") -> npt.NDArray[np.uint64]:
    """Mix each result's query and item into a number (the finaliser of SplitMix64)."""
    query = sessions.query_index[sessions.session_index].astype(np.uint64)
    mixed = (query << np.uint64(32)) + sessions.item_index.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
