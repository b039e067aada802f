"""What the searchers of each query clicked, added up over all sessions of the query."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hooktune import Mask, Sessions

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]

EXAMINATION_DECAY: Final = 0.5
"""A result at position p is taken to be looked at with probability p to the power of minus this."""

PRIOR_IMPRESSIONS: Final = 1.0
"""As many impressions without evidence are added to those of each result."""


@dataclass(frozen=True, eq=False)
class ClickTargets:
    """For each of n queries with a click, what it showed, and how the clicks are shared out."""

    query_index: Ints
    """For each query, its place in `Sessions.queries`, in rising order."""
    offsets: Ints
    """Query i showed the entries `offsets[i]` to `offsets[i + 1]`, the latter not included."""
    item_index: Ints
    """For each entry, the place of the item in `Sessions.items`; once for each query."""
    shares: Floats
    """For each entry, its share of the query's target, float32; those of a query add up to 1."""

    def __len__(self) -> int:
        return len(self.query_index)

    def take(self, queries: Ints) -> "ClickTargets":
        """Return some of the queries, in this order."""
        entries = self.entries(queries)
        lengths = np.diff(self.offsets)[queries]
        return ClickTargets(
            self.query_index[queries],
            np.concatenate([[0], np.cumsum(lengths)]),
            self.item_index[entries],
            self.shares[entries],
        )

    def among(self, query_index: Ints, item_index: Ints) -> tuple[Floats, Mask]:
        """Return the shares of some queries among some items.

        Args:
            query_index: N places in `Sessions.queries`.
            item_index: M places in `Sessions.items`, each once, in rising order.

        Returns:
            N x M shares, float32, of which each row adds up to 1, or is 0 where none of the items
            is a target of the query; and which of the items each query showed, N x M.
        """
        queries = np.searchsorted(self.query_index, query_index)
        row = np.flatnonzero(np.isin(query_index, self.query_index))
        entries = self.entries(queries[row])
        row = np.repeat(row, np.diff(self.offsets)[queries[row]])
        column = np.searchsorted(item_index, self.item_index[entries])
        is_there = np.isin(self.item_index[entries], item_index)
        place = row[is_there], column[is_there]
        shares = np.zeros((len(query_index), len(item_index)), dtype=np.float32)
        shares[place] = self.shares[entries[is_there]]
        shown = np.zeros(shares.shape, dtype=np.bool_)
        shown[place] = True
        total = shares.sum(axis=1, keepdims=True)
        return shares / np.where(total > 0, total, 1), shown

    def entries(self, queries: Ints) -> Ints:
        """Return the places of the entries of some queries, query after query."""
        lengths = np.diff(self.offsets)[queries]
        starts = np.cumsum(lengths) - lengths
        within: Ints = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        return np.repeat(self.offsets[queries], lengths) + within


def click_targets(sessions: Sessions) -> ClickTargets:
    """Add up the clicks of each query, and turn them into shares.

    A clicked item's target is what its rate of clicks, c of n impressions, is above the rate r0
    that a result at the first position has in the whole collection:

        max(0, (c + m r0) / (n + m) - r0),        r0 = all clicks / sum over impressions of p^-eta,

    with m being `PRIOR_IMPRESSIONS`, p a position and eta `EXAMINATION_DECAY`. So one click of one
    impression counts less than ten of ten, and a click that any result would get counts nothing.
    Where this leaves a query nothing, its clicks themselves are its target. Where events have
    weights, a click counts as much as it weighs.

    Args:
        sessions: Sessions that show R results altogether, those without a click included.

    Returns:
        The shares of each query that has a click.
    """
    positions = sessions.positions.astype(np.float64)
    expected = float((positions**-EXAMINATION_DECAY).sum())
    rate = float(sessions.grades.sum()) / expected if expected else 0.0
    shown = np.unique(sessions.query_index[sessions.not_irrelevant])
    query_of_result = sessions.query_index[sessions.session_index]
    place = np.minimum(np.searchsorted(shown, query_of_result), max(len(shown) - 1, 0))
    counts = np.flatnonzero(shown[place] == query_of_result) if len(shown) else place[:0]
    key = place[counts] * np.int64(len(sessions.items)) + sessions.item_index[counts]
    entries, entry = np.unique(key, return_inverse=True)
    impressions = np.bincount(entry, minlength=len(entries))
    clicks = np.bincount(entry, sessions.grades[counts], minlength=len(entries))
    query, item = np.divmod(entries, np.int64(len(sessions.items)))
    smoothed = (clicks + PRIOR_IMPRESSIONS * rate) / (impressions + PRIOR_IMPRESSIONS)
    surplus = np.where(clicks > 0, np.maximum(smoothed - rate, 0.0), 0.0)
    has_surplus = np.bincount(query, surplus, minlength=len(shown)) > 0
    target = np.where(has_surplus[query], surplus, clicks)
    shares = target / np.bincount(query, target, minlength=len(shown))[query]
    offsets = np.searchsorted(query, np.arange(len(shown) + 1))
    return ClickTargets(shown, offsets, item, shares.astype(np.float32))
