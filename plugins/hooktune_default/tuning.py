"""From a batch to a tuned model: the two losses by which it may be trained, and the map on top."""

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
from hooktune_default.query_map import turn_queries
from hooktune_default.softmax import InBatchSoftmax, softmax_loss_of_sessions
from hooktune_default.targets import click_targets
from hooktune_query_map.router import held_map

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def tune(
    run: ActiveRun, model: "SentenceTransformer", batch: TrainingBatch, params: Params
) -> "SentenceTransformer":
    """Train a model with the loss that `params` names, and then give its queries a map.

    A map that it has of an earlier iteration is held while it is trained.

    Raises:
        RequestError: There is nothing to learn from, or a parameter does not fit the model.
        PluginError: The loss became NaN or infinite.
    """
    train_by = _train_by_pairs if params.loss == "pairs" else _train_by_softmax
    with held_map(model):
        steps = train_by(run, model, batch, params)
    if params.query_map != 0 and not run.should_stop():
        turn_queries(run, model, batch.train, params, steps + 1)
    return model


def _train_by_pairs(
    run: ActiveRun, model: "SentenceTransformer", batch: TrainingBatch, params: Params
) -> int:
    """Train a model with `ranking_loss`, session by session, and return in how many steps."""
    sessions = batch.train
    clicks = sessions.sum_per_session(sessions.clicked)
    if not ((clicks > 0) & (clicks < sessions.lengths)).any():
        raise RequestError(
            f"None of the {len(sessions)} training sessions has both a clicked and a not clicked "
            "result, so that there is nothing to rank. Release a log with all results that were "
            "shown."
        )
    train(run, model, batch, partial(ranking_loss, params), params)
    return len(MiniBatchLoader(batch, params, run.seed))


def _train_by_softmax(
    run: ActiveRun, model: "SentenceTransformer", batch: TrainingBatch, params: Params
) -> int:
    """Train a model with `InBatchSoftmax`, and return in how many steps.

    A few sessions of each query stand for all of it.
    """
    drawn = draw_sessions(batch.train, params.sessions_per_query, run.seed)
    sessions, (baseline,) = batch.train.take_with(drawn, batch.baseline)
    loader = MiniBatchLoader(TrainingBatch(batch.batch_id, sessions, baseline), params, run.seed)
    run.use_loss(loss_of_scores(partial(softmax_loss_of_sessions, params), params))
    loss = InBatchSoftmax(params, click_targets(batch.train))
    train_steps(run, model, loader, loss, params)
    return len(loader)


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
