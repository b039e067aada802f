"""BM25: ranking by the words that a query and an item have in common."""

import re
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from hooktune.contract.images import is_image
from hooktune.contract.sessions import Floats

_WORD: Final = re.compile(r"\w+")
_K1: Final = 1.2
_B: Final = 0.75
"""The usual settings (Manning, Raghavan and Schütze, Introduction to information retrieval, 2008,
section 11.4.3)."""


class Bm25:
    """Scores items by the words that a query has.

    It is formula 3.15 of Robertson and Zaragoza, The probabilistic relevance framework: BM25 and
    beyond (2009). The weight of a word is Lucene's, which is never negative:
    log(1 + (N - n + 0.5) / (n + 0.5)), of N items of which n have the word.

    Args:
        items: The texts of the items. Words are runs of letters and digits, in lower case; an image
            has none.
    """

    def __init__(self, items: Iterable[str]) -> None:
        self._column: dict[str, int] = {}
        counts = self._counts(items, learn=True).astype(np.float32)
        lengths = np.asarray(counts.sum(axis=1)).ravel()
        having = np.bincount(counts.indices, minlength=counts.shape[1])
        idf = np.log1p((counts.shape[0] - having + 0.5) / (having + 0.5))
        length = np.repeat(lengths / max(lengths.mean(), 1), np.diff(counts.indptr))
        frequency = counts.data
        saturated = frequency * (_K1 + 1) / (frequency + _K1 * (1 - _B + _B * length))
        counts.data = (saturated * idf[counts.indices]).astype(np.float32)
        self._weights = counts.T.tocsr()

    def scores(self, queries: Iterable[str]) -> Floats:
        """Return the score of each item for each of Q queries: Q x N, float32."""
        asked = self._counts(queries, learn=False).astype(np.float32)
        scores: npt.NDArray[np.float32] = (asked @ self._weights).toarray()
        return scores

    def _counts(self, texts: Iterable[str], *, learn: bool) -> Any:
        """Return how often each text has each word; words that no item has are passed over."""
        columns: list[int] = []
        ends = [0]
        for text in texts:
            for word in _WORD.findall("" if is_image(text) else text.lower()):
                if learn:
                    self._column.setdefault(word, len(self._column))
                if (column := self._column.get(word)) is not None:
                    columns.append(column)
            ends.append(len(columns))
        shape = len(ends) - 1, len(self._column)
        counts = sparse.csr_array((np.ones(len(columns)), columns, ends), shape=shape)
        counts.sum_duplicates()
        return counts
