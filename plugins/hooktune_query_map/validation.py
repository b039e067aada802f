"""What a map does for queries that it was not learned from, by their clicks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from hooktune import Sessions
from hooktune_default.targets import EXAMINATION_DECAY, Floats, Ints
from hooktune_query_map.losses import Evidence, mapped

STEPS: Final = (0.25, 0.5, 0.75, 1.0)
FIXED_STEP: Final = 0.75

_FOLDS: Final = 3
_QUERIES_FOR_ALL_FOLDS: Final = 300
"""Of more queries a single fold is measured, since a third of them is enough."""
_MOST_SESSIONS: Final = 5_000
_RESULTS_AT_ONCE: Final = 20_000
_CUTOFF: Final = 10
_CLEARLY: Final = 2.0

Fit = Callable[[Evidence], torch.Tensor]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """How maps of different steps score the sessions of queries that they do not know."""

    sessions: Sessions
    before: Floats
    """For each result, its similarity without the step."""
    after: dict[float, Floats]
    """The same after each step."""

    def best_step(self) -> float:
        """Return the step to take: `FIXED_STEP`, or one that is clearly better, 0 among them.

        The clicks of some hundred queries cannot tell steps apart that are nearly as good, so that
        the best one would be drawn by lot. Clearly is by twice the standard error over queries.
        """
        fixed = self._ndcg(self.after[FIXED_STEP])
        others = {step: self._ndcg(scores) - fixed for step, scores in self.after.items()}
        others[0.0] = self._ndcg(self.before) - fixed
        clear = [step for step, change in others.items() if _errors_above_0(change) > _CLEARLY]
        return max(clear, key=lambda step: others[step].mean(), default=FIXED_STEP)

    def gains_clearly(self, step: float) -> bool:
        """Tell whether NDCG@10 and the gap rise by more than the standard error over queries."""
        after = self.after[min(self.after, key=lambda known: abs(known - step))]
        changes = (self._ndcg(after) - self._ndcg(self.before), self._gap(after))
        return min(map(_errors_above_0, changes)) > 1

    def _ndcg(self, scores: Floats) -> Floats:
        return self._by_query(weighted_ndcg(self.sessions, scores))

    def _gap(self, scores: Floats) -> Floats:
        """Return by how much more the clicked results of each query rise than the others."""
        rise = scores.astype(np.float64) - self.before
        means = [
            self.sessions.sum_per_session(np.where(picked, rise, 0))
            / np.maximum(self.sessions.sum_per_session(picked), 1)
            for picked in (self.sessions.clicked, ~self.sessions.clicked)
        ]
        return self._by_query(means[0] - means[1])

    def _by_query(self, values: Floats) -> Floats:
        """Return the mean of each query's sessions."""
        _, query = np.unique(self.sessions.query_index, return_inverse=True)
        means: Floats = np.bincount(query, values) / np.bincount(query)
        return means


def _errors_above_0(changes: Floats) -> float:
    """Return how many standard errors the mean of some changes is above 0."""
    if len(changes) < 2 or not changes.any():
        return 0.0
    error = np.std(changes, ddof=1) / np.sqrt(len(changes))
    return float(np.mean(changes) / max(error, np.finfo(np.float64).tiny))


def cross_validate(evidence: Evidence, start: torch.Tensor, fit: Fit, seed: int) -> HeldOut:
    """Measure maps on queries that they were not learned from.

    Args:
        evidence: What was clicked; at least two queries.
        start: W of the map that the model has, D x D.
        fit: Learns W from a part of it.
        seed: The seed of the folds.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(evidence))
    folds = np.array_split(order, min(_FOLDS, len(evidence)))
    measured = folds[: 1 if len(evidence) > _QUERIES_FOR_ALL_FOLDS else None]
    sessions: list[Ints] = []
    scores: dict[float, list[Floats]] = {step: [] for step in (0.0, *STEPS)}
    for fold in measured:
        weight = fit(evidence.take(np.setdiff1d(order, fold)))
        held_out = np.flatnonzero(np.isin(evidence.query_of_session, fold))
        held_out = random.permutation(held_out)[:_MOST_SESSIONS]
        sessions.append(held_out)
        for step, of_step in scores.items():
            of_step.append(_scores(evidence, held_out, start + step * (weight - start)))
    joined = {step: np.concatenate(of_step) for step, of_step in scores.items()}
    before = joined.pop(0.0)
    return HeldOut(evidence.sessions.take(np.concatenate(sessions)), before, joined)


def _scores(evidence: Evidence, sessions: Ints, weight: torch.Tensor) -> Floats:
    """Return the similarity of each result of some sessions to its query, under a map."""
    tuned = mapped(evidence.queries, weight)
    places = evidence.sessions.result_places(sessions)
    query = np.repeat(evidence.query_of_session[sessions], evidence.sessions.lengths[sessions])
    item = evidence.sessions.item_index[places]
    parts = []
    for start in range(0, len(places), _RESULTS_AT_ONCE):
        part = slice(start, start + _RESULTS_AT_ONCE)
        pairs = [
            vectors[torch.from_numpy(rows[part]).to(vectors.device)]
            for vectors, rows in ((tuned, query), (evidence.items, item))
        ]
        parts.append((pairs[0] * pairs[1]).sum(dim=1).cpu().numpy())
    return np.concatenate(parts)


def weighted_ndcg(sessions: Sessions, scores: Floats) -> Floats:
    """Return NDCG@10 of each session's clicks, one at position p counting p^eta.

    Plain clicks favour the order in which results were shown, and so the model that made it;
    counted by the inverse of how likely they were looked at, they do not (inverse propensity:
    Joachims, Swaminathan & Schnabel 2017, "Unbiased learning-to-rank with biased feedback").

    Args:
        sessions: Sessions that show R results altogether, each with a click.
        scores: R similarities.
    """
    gains = np.where(sessions.clicked, sessions.positions**EXAMINATION_DECAY, 0.0)
    reached, ideal = (_dcg(sessions, gains, order) for order in (scores, gains))
    return reached / ideal


def _dcg(sessions: Sessions, gains: Floats, scores: Floats) -> Floats:
    order = np.lexsort((-scores, sessions.session_index))
    rank = np.arange(len(order)) - np.repeat(sessions.offsets[:-1], sessions.lengths)
    discounts = np.where(rank < _CUTOFF, 1 / np.log2(rank + 2.0), 0.0)
    return sessions.sum_per_session(gains[order] * discounts)
