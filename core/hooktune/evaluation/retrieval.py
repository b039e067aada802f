"""How well the relevant items are ranked among all items of a collection."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hooktune.contract.sessions import Floats, Ints


@dataclass(frozen=True, eq=False)
class Relevance:
    """Which items are relevant to each of Q rows, such as queries or sessions.

    Each pair of a row and an item stands once.
    """

    rows: int
    """How many rows there are."""
    row: Ints
    """For each of P pairs, the row."""
    item: Ints
    """For each of the P pairs, the item."""
    grade: Floats
    """For each of the P pairs, how relevant the item is; what is not above 0 is not relevant."""

    @cached_property
    def counts(self) -> Ints:
        """For each row, how many items are relevant."""
        return np.bincount(self.row[self.grade > 0], minlength=self.rows)

    def gains(self, top: Ints) -> Floats:
        """Return the grades of the items that were found, 0 where an item is not relevant.

        Args:
            top: Q x depth items; -1 for none.
        """
        relevant = self.grade > 0
        row, item, grade = self.row[relevant], self.item[relevant], self.grade[relevant]
        width = int(max(item.max(initial=0), top.max(initial=0))) + 2
        keys = row.astype(np.int64) * width + item
        order = np.argsort(keys)
        wanted = np.arange(self.rows)[:, None] * width + np.where(top < 0, width - 1, top)
        if not len(keys):
            return np.zeros(top.shape)
        place = np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)
        is_relevant = keys[order][place] == wanted
        return np.where(is_relevant, grade[order][place], 0.0)

    def ideal_gains(self, depth: int) -> Floats:
        """Return the highest grades of each row, the highest first: Q x depth."""
        ideal = np.zeros((self.rows, depth))
        order = np.lexsort((-self.grade, self.row))
        row, grade = self.row[order], np.maximum(self.grade[order], 0.0)
        place = np.arange(len(row)) - np.searchsorted(row, row)
        kept = place < depth
        ideal[row[kept], place[kept]] = grade[kept]
        return ideal


def ndcg(top: Ints, relevance: Relevance, cutoff: int) -> Floats:
    """Return the normalised discounted cumulated gain of the first items of each row.

    The gain of an item is its grade, and the discount 1 / log2(1 + rank) (Järvelin & Kekäläinen,
    2002, with the discount that has become usual): `ndcg_cut` of trec_eval. The ideal ranking holds
    all relevant items, found or not.

    Args:
        top: Q x depth items, the first one first; -1 for none.
        relevance: Which items are relevant to each of the Q rows.
        cutoff: How many of them count; not more than the depth.

    Returns:
        Q numbers from 0 to 1; NaN where nothing is relevant.
    """
    discount = 1 / np.log2(np.arange(2, cutoff + 2))
    reached = relevance.gains(top[:, :cutoff]) @ discount[: top.shape[1]]
    ideal = relevance.ideal_gains(cutoff) @ discount
    return _divided(reached, ideal)


def recall(top: Ints, relevance: Relevance, cutoff: int) -> Floats:
    """Return the share of the relevant items that is among the first ones; as for `ndcg`."""
    found = (relevance.gains(top[:, :cutoff]) > 0).sum(axis=1)
    return _divided(found, relevance.counts)


def reciprocal_rank(top: Ints, relevance: Relevance) -> Floats:
    """Return 1 / rank of the first relevant item, 0 where none was found; as for `ndcg`."""
    hits = relevance.gains(top) > 0
    inverse = np.where(hits.any(axis=1), 1 / (1 + hits.argmax(axis=1)), 0.0)
    return np.where(relevance.counts > 0, inverse, np.nan)


def _divided(values: Floats, by: Floats | Ints) -> Floats:
    return np.where(by > 0, values / np.where(by > 0, by, 1), np.nan)
