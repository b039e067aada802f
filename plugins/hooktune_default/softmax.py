"""The softmax loss: each query is to find what its searchers clicked."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from hooktune import Ints, LearnedStep, MiniBatch, Reader, Sessions
from hooktune_default.loss import irrelevant_term
from hooktune_default.params import Params
from hooktune_default.targets import ClickTargets

_NOT_THERE: Final = -100.0
"""Stands for the similarity of nothing: so low that a softmax gives it no share."""

_ATTRACTION: Final = 3.0
"""By how much the attraction counts more than in `ranking_loss`, as the rest of the loss does."""

_SHARPER: Final = 2.0
"""By how much the softmax over what a query showed is sharper: those items are near each other."""


def softmax_loss(
    params: Params, similarities: torch.Tensor, shares: torch.Tensor, shown: torch.Tensor
) -> torch.Tensor:
    """Return how little of a query's softmaxes falls to what was clicked, plus the attraction.

    With t the shares of a query, s its similarities and T the temperature, it is the mean over
    queries of

        - T sum t (log softmax(s / T) + log softmax_shown(2 s / T)) + 3 attraction (1 - sum t s),

    the first softmax being over all items and the second over those that the query showed. The
    factor T lets the size of its gradient, and so the weight of `attraction` beside it, be the same
    at any temperature.

    Args:
        params: The temperature and the attraction.
        similarities: For each query, a row, its cosine similarity to each item.
        shares: How the clicks of each query are shared out; each row adds up to 1.
        shown: Which of the items each query showed, those with a share among them.
    """
    reached = (shares * similarities).sum(dim=1)
    own = torch.where(shown, similarities, _NOT_THERE)
    losses = _ATTRACTION * params.attraction * (1 - reached)
    for candidates, sharper in ((similarities, 1.0), (own, _SHARPER)):
        temperature = params.temperature / sharper
        log_sums = (candidates / temperature).logsumexp(dim=1)
        losses = losses + params.temperature * (log_sums - reached / temperature)
    return losses.sum() / max(len(losses), 1)


def softmax_loss_of_sessions(
    params: Params, sessions: Sessions, scores: torch.Tensor
) -> torch.Tensor:
    """Return the softmax loss of sessions, each over what it showed: for evaluations.

    Args:
        params: The temperature and the attraction.
        sessions: Sessions that show R results altogether; those without a click do not count.
        scores: R cosine similarities.
    """
    sessions, (scores,) = sessions.take_with(sessions.not_irrelevant, scores)
    if not len(sessions):
        return scores.sum() * 0
    row = torch.from_numpy(np.array(sessions.session_index))
    column = torch.from_numpy(
        np.arange(sessions.result_count) - sessions.offsets[sessions.session_index]
    )
    shape = len(sessions), int(sessions.lengths.max())
    share = sessions.clicked / sessions.sum_per_session(sessions.clicked)[sessions.session_index]
    similarities, shares = scores.new_full(shape, _NOT_THERE), scores.new_zeros(shape)
    similarities[row, column] = scores
    shares[row, column] = torch.from_numpy(share).to(scores)
    return softmax_loss(params, similarities, shares, similarities != _NOT_THERE)


@dataclass(frozen=True, eq=False)
class InBatchSoftmax:
    """The loss of a training step, whose items are those of the first softmax of each query.

    So the items of other queries are what each query is not to find, for no further encoding
    (in-batch negatives: Henderson et al. 2017, "Efficient natural language response suggestion for
    Smart Reply"). What is to be found follows from all sessions of a query, not only from those in
    the step.
    """

    params: Params
    targets: ClickTargets
    """Of all training sessions."""

    def __call__(self, reader: Reader, mini_batch: MiniBatch) -> LearnedStep:
        """See `hooktune.StepLoss`."""
        sessions, learned = mini_batch.sessions, mini_batch.learned
        shown_by = sessions.session_index
        query_rows, queries = reader.embed(sessions.queries, sessions.query_index, "query", learned)
        item_rows, items = reader.embed(
            sessions.items, sessions.item_index, "document", learned[shown_by]
        )
        similarities = queries @ items.T
        scores = similarities[_on(queries, query_rows[shown_by]), _on(queries, item_rows)]
        asked, first = np.unique(sessions.query_index[learned], return_index=True)
        found, place = np.unique(sessions.item_index, return_index=True)
        shares, shown = self.targets.among(asked, found)
        has_target = shares.any(axis=1)
        rows = query_rows[np.flatnonzero(learned)[first]][has_target]
        loss = softmax_loss(
            self.params,
            similarities[_on(queries, rows)][:, _on(queries, item_rows[place])],
            torch.from_numpy(shares[has_target]).to(similarities),
            torch.from_numpy(shown[has_target]).to(similarities.device),
        )
        known, (known_scores,) = sessions.take_with(learned, scores)
        loss = loss + irrelevant_term(self.params, known, known_scores)
        return LearnedStep(loss, sessions, scores, mini_batch.baseline)


def _on(tensor: torch.Tensor, places: Ints) -> torch.Tensor:
    return torch.from_numpy(places).to(tensor.device)
