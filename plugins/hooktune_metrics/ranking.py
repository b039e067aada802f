"""How well the clicked results of a session are ranked by their similarity to its query."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from hooktune import Sessions

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

CUTOFF: Final = 10
_COMPARED_AT_ONCE: Final = 4_000_000


def ranking_quality(sessions: "Sessions", scores: Floats) -> dict[str, Floats]:
    """Measure the ranking of the clicked results, over not irrelevant sessions.

    - `ndcg_at_10`: normalised discounted cumulated gain (Järvelin & Kekäläinen, 2002), the gain
      being the grade of a clicked result: 1, or the weight of what happened to it. The discount is
      1 / log2(1 + rank), as has become usual; the paper's own begins at the third rank only.
    - `mrr`: the mean of 1 / rank of the clicked result that is ranked best.

    Results with one score stand in an arbitrary order that is drawn from the query and the item
    and is the same in every run. It knows neither clicks nor the order in which the results were
    shown, so that a model that tells no results apart ranks as well as chance.

    Args:
        sessions: Sessions that show R results altogether.
        scores: For each of the R results, its similarity to its query; a NaN is ranked last.

    Returns:
        The metrics by name: for each session its own value, NaN for an irrelevant one; no metric
        if every session is irrelevant.
    """
    clicked = np.flatnonzero(sessions.clicked)
    if not len(clicked):
        return {}
    better = np.nan_to_num(scores, nan=-np.inf)
    rank = _ranks(sessions, better, clicked)

    session = sessions.session_index[clicked]
    ranked, first, place = np.unique(session, return_index=True, return_inverse=True)
    discount = np.append(1 / np.log2(np.arange(2, CUTOFF + 2)), 0)
    grade = sessions.grades[clicked]
    gains = np.bincount(place, weights=grade * discount[np.minimum(rank, CUTOFF + 1) - 1])
    best_rank = np.arange(len(clicked)) - first[place]
    best = grade[np.lexsort((-grade, place))]
    ideal = np.bincount(place, weights=best * discount[np.minimum(best_rank, CUTOFF)])
    quality = {"ndcg_at_10": gains / ideal, "mrr": 1 / np.minimum.reduceat(rank, first)}
    of_each = {name: np.full(len(sessions), np.nan) for name in quality}
    for name, values in quality.items():
        of_each[name][ranked] = values
    return of_each


def _ranks(sessions: "Sessions", scores: Floats, results: Ints) -> Ints:
    """Return the rank, from 1, of some results within their sessions, higher scores first.

    A result is compared with all of its session, which for the few clicked ones is far less work
    than sorting everything; in parts, so that many of them do not fill the memory.
    """
    compared = np.cumsum(sessions.lengths[sessions.session_index[results]])
    cuts = np.searchsorted(compared, np.arange(_COMPARED_AT_ONCE, compared[-1], _COMPARED_AT_ONCE))
    parts = [_ranks_at_once(sessions, scores, part) for part in np.split(results, np.unique(cuts))]
    return np.concatenate(parts)


def _ranks_at_once(sessions: "Sessions", scores: Floats, results: Ints) -> Ints:
    session = sessions.session_index[results]
    rival = sessions.result_places(session)
    of = np.repeat(np.arange(len(results)), sessions.lengths[session])
    score = scores[results][of]
    ahead = scores[rival] > score
    tied = np.flatnonzero(scores[rival] == score)
    ahead[tied] = _tie_order(sessions, rival[tied]) < _tie_order(sessions, results[of[tied]])
    return np.bincount(of[ahead], minlength=len(results)) + 1


def _tie_order(sessions: "Sessions", results: Ints) -> npt.NDArray[np.uint64]:
    """Mix the query and item of some results into numbers (the finaliser of SplitMix64)."""
    query = sessions.query_index[sessions.session_index[results]].astype(np.uint64)
    mixed = (query << np.uint64(32)) + sessions.item_index[results].astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
