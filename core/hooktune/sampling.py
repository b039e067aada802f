"""Which sessions, and which of their results, a training step takes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hooktune.batch import Floats, Ints, Mask, Sessions, TrainingBatch


@dataclass(frozen=True, eq=False)
class MiniBatch:
    """What one training step takes."""

    sessions: Sessions
    baseline: Floats
    """For each result, its similarity before tuning."""
    learned: Mask
    """For each session, whether the loss is given it; the others are only measured."""


def step_count(learned: Mask, size: int) -> int:
    """Return how many mini-batches one epoch has."""
    return -(-int(learned.sum()) // size)


def mini_batches(
    batch: TrainingBatch,
    learned: Mask,
    size: int,
    negatives: int | None,
    random: np.random.Generator,
) -> Iterator[MiniBatch]:
    """Split the training sessions into the mini-batches of one epoch.

    Queries are shuffled, and the sessions of a query stay together: they show many of the same
    items, and a text that several sessions of a mini-batch show is encoded only once. The sizes of
    the mini-batches differ by one at most, so that none is left with a noisy few.

    Beside up to `size` sessions to learn from, a mini-batch has up to a quarter as many of those
    that are only measured, preferably of the same queries.

    Args:
        batch: The training batch.
        learned: For each session, whether the loss is to be given it.
        size: The most sessions to learn from in a mini-batch.
        negatives: How many not clicked results of a session are kept; None keeps all.
        random: Draws the order and the results.
    """
    sessions = batch.train
    query_rank = random.permutation(len(sessions.queries))[sessions.query_index]
    order = np.lexsort((random.random(len(sessions)), query_rank))
    steps = np.array_split(order[learned[order]], step_count(learned, size))
    others = order[~learned[order]]
    first_ranks = query_rank[[step[0] for step in steps]]
    step_of_other = np.searchsorted(first_ranks[1:], query_rank[others], side="right")
    room = max(1, size // 4)
    for number, step in enumerate(steps):
        places = np.concatenate([step, others[step_of_other == number][:room]])
        yield _mini_batch(batch, learned, places, negatives, random)


def _mini_batch(
    batch: TrainingBatch,
    learned: Mask,
    places: Ints,
    negatives: int | None,
    random: np.random.Generator,
) -> MiniBatch:
    sessions = batch.train.take(places)
    baseline = batch.baseline[batch.train.result_places(places)]
    if negatives is not None:
        kept = sample_negatives(sessions, negatives, random)
        sessions, baseline = sessions.keep_results(kept), baseline[kept]
    return MiniBatch(sessions, baseline, learned[places])


def sample_negatives(sessions: Sessions, count: int, random: np.random.Generator) -> Mask:
    """Pick all clicked results of each session and at most `count` of its not clicked ones.

    An item that several sessions show is drawn for all of them or for none, as far as their counts
    allow, so that down-sampling saves encoding where sessions share a query.

    Returns:
        A mask over the results.
    """
    distinct, entry_of = np.unique(sessions.item_index, return_inverse=True)
    priority = random.random(len(distinct))[entry_of]
    priority[sessions.clicked] = -1.0
    order = np.lexsort((priority, sessions.session_index))
    place_in_session = np.arange(sessions.result_count) - np.repeat(
        sessions.offsets[:-1], sessions.lengths
    )
    kept_count = sessions.sum_per_session(sessions.clicked) + count
    kept = np.empty(sessions.result_count, dtype=bool)
    kept[order] = place_in_session < kept_count[sessions.session_index]
    return kept
