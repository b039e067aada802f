"""The loss: clicked over not clicked results, and clicked results towards their query."""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from hooktune import Sessions, mean_over_sessions
from hooktune_default.confidence import result_confidence
from hooktune_default.params import Params

Places = npt.NDArray[np.int64]

_LEAST_WEIGHT: Final = 1e-6


def ranking_loss(params: Params, sessions: Sessions, scores: torch.Tensor) -> torch.Tensor:
    """Return the probabilistic margin loss of the pairs, plus the terms that hold similarities.

    With s a cosine similarity, the loss is the sum of

    - the mean, over sessions with both kinds of results, of the mean over the session's pairs of a
      clicked and a not clicked result, of confidence x sigmoid(scale x (margin - (s_clicked -
      s_other))): a smooth count of the pairs that are not in order by the margin. It is divided by
      the same mean of the confidences alone (self-normalised: Swaminathan & Joachims 2015, "The
      self-normalized estimator for counterfactual learning"), so that confidences say which pairs
      matter and not how much all of them do beside the other terms;
    - `attraction` times the mean, over sessions with a click, of the mean over their clicked
      results of 1 - s;
    - `irrelevant_weight` times the mean, over sessions without a click, of the mean over their
      results of s where it is above 0.

    Sessions count alike, however many pairs they have, as they do in the main metric; only one of
    little confidence counts less. Where events have weights, a pair's confidence is multiplied by
    that of its clicked result.

    Args:
        params: The weights, the margin, and which pairs count.
        sessions: Sessions that show R results altogether.
        scores: R cosine similarities.
    """
    return (
        _pairs_term(params, sessions, scores)
        + params.attraction * _mean_of_picked(sessions, 1 - scores, sessions.clicked)
        + irrelevant_term(params, sessions, scores)
    )


def irrelevant_term(params: Params, sessions: Sessions, scores: torch.Tensor) -> torch.Tensor:
    """Return the term of the sessions without a click, as `ranking_loss` describes it.

    Args:
        params: `irrelevant_weight` is read.
        sessions: Sessions that show R results altogether.
        scores: R cosine similarities.
    """
    irrelevant = ~sessions.not_irrelevant[sessions.session_index]
    return params.irrelevant_weight * _mean_of_picked(sessions, scores.clamp(min=0), irrelevant)


def _pairs_term(params: Params, sessions: Sessions, scores: torch.Tensor) -> torch.Tensor:
    clicked, other = clicked_other_pairs(sessions)
    confidence = result_confidence(sessions, params)
    weight = _like(scores, sessions.grades[clicked] * confidence[clicked] * confidence[other])
    places = _on(scores, clicked)
    difference = scores[places] - scores[_on(scores, other)]
    counts = torch.ones_like(difference, dtype=torch.bool)
    if params.pair_min_difference is not None:
        counts &= difference.detach() >= params.pair_min_difference
    if params.pair_max_difference is not None:
        counts &= difference.detach() <= params.pair_max_difference
    urgency = torch.sigmoid(params.scale * (params.margin - difference))
    weight, urgency, places = weight[counts], urgency[counts], places[counts]
    mean_weight = mean_over_sessions(sessions, weight, places)
    weighted = mean_over_sessions(sessions, weight * urgency, places)
    return weighted / mean_weight.clamp(min=_LEAST_WEIGHT)


def clicked_other_pairs(sessions: Sessions) -> tuple[Places, Places]:
    """Return the places of the two results of each pair of a clicked and a not clicked one.

    Both are of one session; each clicked result is paired with all others of its session that have
    no click.
    """
    clicked, others = np.flatnonzero(sessions.clicked), np.flatnonzero(~sessions.clicked)
    others_count = np.bincount(sessions.session_index[others], minlength=len(sessions))
    first_other = np.concatenate([[0], np.cumsum(others_count)[:-1]])
    pairs_of_clicked = others_count[sessions.session_index[clicked]]
    first_pair = np.cumsum(pairs_of_clicked) - pairs_of_clicked
    within = np.arange(pairs_of_clicked.sum()) - np.repeat(first_pair, pairs_of_clicked)
    start = np.repeat(first_other[sessions.session_index[clicked]], pairs_of_clicked)
    return np.repeat(clicked, pairs_of_clicked), others[start + within]


def _mean_of_picked(
    sessions: Sessions, values: torch.Tensor, picked: npt.NDArray[np.bool_]
) -> torch.Tensor:
    """Return the mean over sessions of the mean over their picked results, 0 where none is."""
    places = _on(values, np.flatnonzero(picked))
    return mean_over_sessions(sessions, values[places], places)


def _on(scores: torch.Tensor, places: Places) -> torch.Tensor:
    return torch.from_numpy(places).to(scores.device)


def _like(scores: torch.Tensor, values: npt.NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(values).to(scores.device, scores.dtype)
