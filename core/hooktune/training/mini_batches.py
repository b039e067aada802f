"""Which sessions, and which of their results, a training step takes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hooktune.contract.sessions import Floats, Ints, Mask, Sessions, TrainingBatch

_QUERIES_IN_STEP = 4


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

    Sessions of one query stay together, up to a quarter of a mini-batch: they show many of the same
    items, and a text that several sessions of a mini-batch show is encoded only once, while a step
    that saw one query alone would follow that query too far. These groups are shuffled. The sizes
    of the mini-batches differ by one at most, so that none is left with a noisy few.

    Beside up to `size` sessions to learn from, a mini-batch has up to an eighth as many of those
    that are only measured, preferably of the same queries.

    Args:
        batch: The training batch.
        learned: For each session, whether the loss is to be given it.
        size: The most sessions to learn from in a mini-batch.
        negatives: How many not clicked results of a session are kept; None keeps all.
        random: Draws the order and the results.
    """
    sessions = batch.train
    rank = _shuffled_groups(sessions, max(1, size // _QUERIES_IN_STEP), random)
    order = np.argsort(rank, kind="stable")
    steps = np.array_split(order[learned[order]], step_count(learned, size))
    others = order[~learned[order]]
    first_ranks = rank[[step[0] for step in steps]]
    step_of_other = np.searchsorted(first_ranks[1:], rank[others], side="right")
    room = max(1, size // 8)
    for number, step in enumerate(steps):
        places = np.concatenate([step, others[step_of_other == number][:room]])
        yield _mini_batch(batch, learned, places, negatives, random)


def _shuffled_groups(sessions: Sessions, most: int, random: np.random.Generator) -> Ints:
    """Put sessions of one query into groups of at most `most`; return each session's group.

    Groups are numbered in random order, and drawn at random from the sessions of their query.
    """
    shuffled = random.permutation(len(sessions))
    by_query = shuffled[np.argsort(sessions.query_index[shuffled], kind="stable")]
    query = sessions.query_index[by_query]
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    place_in_query = np.arange(len(query)) - np.repeat(starts, np.diff([*starts, len(query)]))
    group_in_order = np.cumsum(place_in_query % most == 0) - 1
    group = np.empty(len(sessions), dtype=np.int64)
    group[by_query] = random.permutation(group_in_order.max(initial=-1) + 1)[group_in_order]
    return group


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
