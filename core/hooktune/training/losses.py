"""Losses: what they are given, and means over sessions."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from hooktune.contract.params import TrainingParams
from hooktune.contract.sessions import Floats, Sessions
from hooktune.errors import PluginError
from hooktune.training.mini_batches import MiniBatch

Loss = Callable[[Sessions, torch.Tensor], torch.Tensor]
"""Takes sessions that show R results altogether and a tensor of R cosine similarities, and returns
the one number to be made small. A mini-batch holds no session without a click unless the parameter
`use_irrelevant_sessions` is on."""

_SESSIONS_AT_ONCE: Final = 2_048


def mean_over_sessions(
    sessions: Sessions, values: torch.Tensor, places: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean, over sessions, of the mean over a session's values.

    So sessions count alike, however many results they show. A gradient passes through it.

    Args:
        sessions: Sessions that show R results altogether.
        values: A value for each result; or N values of the results at `places`.
        places: For each of N values, the place of its result among the R, on the values' device.
            One result may have several values, and one that has none does not count.

    Returns:
        The mean over the sessions that have a value; 0 where none has.
    """
    session = torch.tensor(sessions.session_index, device=values.device)
    if places is not None:
        session = session[places]
    count = torch.bincount(session, minlength=len(sessions))
    return (values / count[session]).sum() / max(int((count > 0).sum()), 1)


def learned_loss(loss: Loss, mini_batch: MiniBatch, scores: torch.Tensor) -> torch.Tensor:
    """Return the loss of those sessions of a mini-batch that are learned from.

    Args:
        loss: A loss of sessions and scores.
        mini_batch: Sessions that show R results altogether.
        scores: R similarities, from `mini_batch_scores`.

    Raises:
        PluginError: The loss is not one number.
    """
    sessions = mini_batch.sessions
    if not mini_batch.learned.all():
        sessions, (scores,) = sessions.take_with(mini_batch.learned, scores)
    value = loss(sessions, scores)
    if value.ndim:
        raise PluginError(f"The loss must be one number; its shape is {tuple(value.shape)}.")
    return value


def loss_of_scores(loss: Loss, params: TrainingParams) -> Callable[[Sessions, Floats], float]:
    """Return a loss as a function of plain numbers, for `run.use_loss`.

    It is the mean over the sessions that training would learn from; NaN where there is none.
    """

    def of_scores(sessions: Sessions, scores: Floats) -> float:
        places = np.arange(len(sessions))
        if not params.use_irrelevant_sessions:
            places = places[sessions.not_irrelevant]
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(places), _SESSIONS_AT_ONCE):
                part, (part_scores,) = sessions.take_with(
                    places[start : start + _SESSIONS_AT_ONCE], scores
                )
                total += len(part) * loss(part, torch.from_numpy(part_scores)).item()
        return total / len(places) if len(places) else math.nan

    return of_scores
