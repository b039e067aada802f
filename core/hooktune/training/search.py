"""Exact search: the items that are most similar to queries, found in blocks of bounded memory."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Final

import numpy as np
import torch

from hooktune.contract.sessions import Ints
from hooktune.progress import PhaseProgress, phase, report

_QUERIES_AT_ONCE: Final = 1_024
_ITEMS_AT_ONCE: Final = 16_384
"""So many of each give similarities of 64 MB."""

_LEAST: Final = torch.finfo(torch.float32).min


def nearest_items(
    queries: torch.Tensor, items: torch.Tensor, depth: int, *, title: str | None = None
) -> Ints:
    """Return the items that are most similar to each query, all items being compared.

    Similarities are inner products, which are the cosines of normalised embeddings. Of items that
    are equally similar the one with the lower index comes first. An item whose similarity is NaN is
    never found.

    Args:
        queries: Q x D embeddings, float32.
        items: N x D embeddings, float32, on the same device.
        depth: How many items to return.
        title: What progress is reported as, over the queries; without it there is no report.

    Returns:
        Q x depth indices of items, the most similar first; -1 where there are no further ones.
    """
    found = np.full((len(queries), depth), -1, dtype=np.int64)
    with nullcontext() if title is None else phase(title, len(queries)), torch.no_grad():
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            some = queries[start : start + _QUERIES_AT_ONCE]
            found[start : start + len(some)] = best_columns(_blocks(some, items), depth)
            if title is not None:
                report(PhaseProgress(title, start + len(some), len(queries)))
    return found


def best_columns(blocks: Iterable[torch.Tensor], depth: int) -> Ints:
    """Return the columns with the highest scores in each row.

    Of equal scores the one in the lower column comes first, and a NaN is never taken.

    Args:
        blocks: The scores, float32: matrices of the same rows, each holding the next columns.
        depth: How many columns to return; at least 1.

    Returns:
        Rows x depth columns, the highest score first; -1 where there are no further ones.
    """
    passed, best = 0, None
    for scores in blocks:
        if best is None:
            best = _Best(scores, depth)
        best.take_in(scores, passed)
        passed += scores.shape[1]
    return np.empty((0, depth), dtype=np.int64) if best is None else best.columns()


def _blocks(queries: torch.Tensor, items: torch.Tensor) -> Iterator[torch.Tensor]:
    # One place for all similarities, as fresh memory costs more than what is computed into it.
    place = queries.new_empty(len(queries) * min(_ITEMS_AT_ONCE, len(items)))
    for start in range(0, len(items), _ITEMS_AT_ONCE):
        some = items[start : start + _ITEMS_AT_ONCE]
        scores = place[: len(queries) * len(some)].view(len(queries), len(some))
        yield torch.mm(queries, some.T, out=scores)


class _Best:
    """The best columns of each row until now, row after row, the best of a row first.

    Args:
        first: The scores of the first columns.
        depth: How many columns to keep.
    """

    def __init__(self, first: torch.Tensor, depth: int) -> None:
        self._depth, self._row_count = depth, len(first)
        self._rows = first.new_empty(0, dtype=torch.int64)
        self._columns = self._rows
        self._scores = first.new_empty(0)
        self._reached = first.new_full((len(first),), _LEAST)
        """For each row the score of its last one, below which nothing is looked at."""
        if first.shape[1] >= depth:
            known = first.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
            self._reached = known.topk(depth).values[:, -1].clamp(min=_LEAST)

    def take_in(self, scores: torch.Tensor, passed: int) -> None:
        """Compare with the next columns.

        Args:
            scores: Their scores.
            passed: How many columns came before them.
        """
        rows, columns = torch.nonzero(scores >= self._reached[:, None], as_tuple=True)
        if not len(rows):
            return
        joined = torch.cat([self._scores, scores[rows, columns]])
        rows = torch.cat([self._rows, rows])
        columns = torch.cat([self._columns, columns + passed])
        # Columns stand in order within a row, and stable sorting leaves equal scores so.
        by_score = torch.sort(joined, descending=True, stable=True).indices
        order = by_score[torch.sort(rows[by_score], stable=True).indices]
        rows = rows[order]
        place = torch.arange(len(rows), device=rows.device)
        place -= torch.searchsorted(rows, rows)
        kept = place < self._depth
        self._rows, self._columns = rows[kept], columns[order][kept]
        self._scores, place = joined[order][kept], place[kept]
        last = place == self._depth - 1
        self._reached[self._rows[last]] = self._scores[last]

    def columns(self) -> Ints:
        """Return the columns, a row of them for each row; -1 where it has no further ones."""
        found = self._columns.new_full((self._row_count, self._depth), -1)
        place = torch.arange(len(self._rows), device=found.device)
        place -= torch.searchsorted(self._rows, self._rows)
        found[self._rows, place] = self._columns
        array: Ints = found.cpu().numpy()
        return array
