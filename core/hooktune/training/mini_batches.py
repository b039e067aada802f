"""Which sessions, and which of their results, a training step takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from hooktune.contract.params import TrainingParams
from hooktune.contract.sessions import Floats, Ints, Mask, Sessions, TrainingBatch
from hooktune.errors import RequestError

_QUERIES_IN_STEP = 4


@dataclass(frozen=True, eq=False)
class MiniBatch:
    """What one training step takes."""

    sessions: Sessions
    baseline: Floats
    """For each result, its similarity before tuning."""
    learned: Mask
    """For each session, whether the loss is given it; the others are only measured."""


class MiniBatchLoader:
    """The mini-batches of all epochs of a run, in an order that follows from the seed alone.

    Its length is the number of steps: `for step, mini_batch in loader.steps():` goes through them.

    Args:
        batch: The training batch.
        params: `epochs`, `mini_batch_size`, `negatives_per_session`, `use_irrelevant_sessions` and
            `evaluations_per_epoch` are read.
        seed: Draws the order, and the results where not all are kept.

    Raises:
        RequestError: No session has a click, so that nothing can be learned.
    """

    def __init__(self, batch: TrainingBatch, params: TrainingParams, seed: int) -> None:
        self._batch, self._params, self._seed = batch, params, seed
        self._learned = _learned_sessions(batch.train, params)
        self.steps_per_epoch = step_count(self._learned, params.mini_batch_size)
        count = min(params.evaluations_per_epoch, self.steps_per_epoch)
        # 0 is the last step of an epoch.
        self._evaluated = {
            round(part * self.steps_per_epoch / count) % self.steps_per_epoch
            for part in range(1, count + 1)
        }

    def __len__(self) -> int:
        return self._params.epochs * self.steps_per_epoch

    def steps(self, after: int = 0) -> Iterator[tuple[int, MiniBatch]]:
        """Return the mini-batches with their steps, from 1.

        Args:
            after: How many steps are done already, for a run that goes on.
        """
        return islice(enumerate(self._mini_batches(), start=1), after, None)

    def is_evaluated(self, step: int) -> bool:
        """Tell whether the test sessions are to be measured after a step."""
        return step % self.steps_per_epoch in self._evaluated

    def _mini_batches(self) -> Iterator[MiniBatch]:
        random, params = np.random.default_rng(self._seed), self._params
        for _ in range(params.epochs):
            yield from mini_batches(
                self._batch,
                self._learned,
                params.mini_batch_size,
                params.negatives_per_session,
                random,
            )


def _learned_sessions(sessions: Sessions, params: TrainingParams) -> Mask:
    learned = sessions.not_irrelevant
    if not learned.any():
        raise RequestError(
            f"None of the {len(sessions)} training sessions has a click, so that there is nothing "
            "to learn from. Release a batch with clicked sessions."
        )
    return np.ones_like(learned) if params.use_irrelevant_sessions else learned


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
    that saw one query alone would follow that query too far. What stays together is
    shuffled. The sizes of the mini-batches differ by one at most, so that none is left with a noisy
    few.

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
    rank = _shuffled_blocks(sessions, max(1, size // _QUERIES_IN_STEP), random)
    order = np.argsort(rank, kind="stable")
    steps = np.array_split(order[learned[order]], step_count(learned, size))
    others = order[~learned[order]]
    first_ranks = rank[[step[0] for step in steps]]
    step_of_other = np.searchsorted(first_ranks[1:], rank[others], side="right")
    room = max(1, size // 8)
    for number, step in enumerate(steps):
        places = np.concatenate([step, others[step_of_other == number][:room]])
        yield _mini_batch(batch, learned, places, negatives, random)


def _shuffled_blocks(sessions: Sessions, most: int, random: np.random.Generator) -> Ints:
    """Put sessions of one query into blocks of at most `most`; return each session's block.

    Blocks are numbered in random order, and drawn at random from the sessions of their query.
    """
    shuffled = random.permutation(len(sessions))
    by_query = shuffled[np.argsort(sessions.query_index[shuffled], kind="stable")]
    query = sessions.query_index[by_query]
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    place_in_query = np.arange(len(query)) - np.repeat(starts, np.diff([*starts, len(query)]))
    block_in_order = np.cumsum(place_in_query % most == 0) - 1
    block = np.empty(len(sessions), dtype=np.int64)
    block[by_query] = random.permutation(block_in_order.max(initial=-1) + 1)[block_in_order]
    return block


def _mini_batch(
    batch: TrainingBatch,
    learned: Mask,
    places: Ints,
    negatives: int | None,
    random: np.random.Generator,
) -> MiniBatch:
    sessions, (baseline,) = batch.train.take_with(places, batch.baseline)
    if negatives is not None:
        kept = sample_negatives(sessions, negatives, random)
        sessions, (baseline,) = sessions.keep_results_with(kept, baseline)
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
