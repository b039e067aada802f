"""The two ways in which the method trains a model, each by a loss of its own."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hooktune import (
    ActiveRun,
    Mask,
    MiniBatchLoader,
    RequestError,
    Sessions,
    TrainingBatch,
    loss_of_scores,
    train,
    train_steps,
)
from hooktune_default.loss import ranking_loss
from hooktune_default.params import Params
from hooktune_default.softmax import InBatchSoftmax, softmax_loss_of_sessions
from hooktune_default.targets import click_targets

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def tune_by_pairs(
    run: ActiveRun, model: "SentenceTransformer", batch: TrainingBatch, params: Params
) -> "SentenceTransformer":
    """Train the model with `ranking_loss`, session by session.

    Raises:
        RequestError: No training session has both a clicked and a not clicked result.
    """
    sessions = batch.train
    clicks = sessions.sum_per_session(sessions.clicked)
    if not ((clicks > 0) & (clicks < sessions.lengths)).any():
        raise RequestError(
            f"None of the {len(sessions)} training sessions has both a clicked and a not clicked "
            "result, so that there is nothing to rank. Release a log with all results that were "
            "shown."
        )
    return train(run, model, batch, partial(ranking_loss, params), params)


def tune_by_softmax(
    run: ActiveRun, model: "SentenceTransformer", batch: TrainingBatch, params: Params
) -> "SentenceTransformer":
    """Train the model with `InBatchSoftmax`, a few sessions of each query standing for all of it.

    Raises:
        RequestError: No training session has a click.
    """
    drawn = draw_sessions(batch.train, params.sessions_per_query, run.seed)
    sessions, (baseline,) = batch.train.take_with(drawn, batch.baseline)
    loader = MiniBatchLoader(TrainingBatch(batch.batch_id, sessions, baseline), params, run.seed)
    run.use_loss(loss_of_scores(partial(softmax_loss_of_sessions, params), params))
    loss = InBatchSoftmax(params, click_targets(batch.train))
    return train_steps(run, model, loader, loss, params)


def draw_sessions(sessions: Sessions, most: int, seed: int) -> Mask:
    """Draw at most so many clicked sessions of each query, and keep those without a click.

    Args:
        sessions: The sessions to draw from.
        most: How many of a query are drawn.
        seed: The seed of the draw.

    Returns:
        For each session, whether it is kept.
    """
    kept = ~sessions.not_irrelevant
    shuffled = np.random.default_rng(seed).permutation(np.flatnonzero(sessions.not_irrelevant))
    by_query = shuffled[np.argsort(sessions.query_index[shuffled], kind="stable")]
    _, first, count = np.unique(
        sessions.query_index[by_query], return_index=True, return_counts=True
    )
    kept[by_query[np.arange(len(by_query)) - np.repeat(first, count) < most]] = True
    return kept
