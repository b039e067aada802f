"""Measuring a model by what it finds among all items of a batch, shown in a session or not."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hooktune.contract.collection_metrics import (
    MRR_AT_100,
    NDCG_AT_10,
    RECALL_AT_10,
    RECALL_AT_100,
    STANDARD_ERROR,
)
from hooktune.contract.metric import JUDGED_METRIC, with_test_prefix
from hooktune.contract.sessions import Floats, Ints, Sessions
from hooktune.evaluation.retrieval import Relevance, ndcg, recall, reciprocal_rank
from hooktune.training.embeddings import Embeddings, embed_column, in_eval_mode
from hooktune.training.search import nearest_items

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.training.encoder import TextEncoder

DEPTH: Final = 100
"""How many items of each query are looked at."""

_SIMILARITIES: Final = 1_000_000_000
_FEWEST_QUERIES: Final = 1_000
"""A search takes so many similarities at most, some 20 seconds on two cores, but never so few
queries are drawn that the figures would say nothing."""


@dataclass(frozen=True, eq=False)
class JudgedQueries:
    """Queries with judged items of the batch."""

    queries: pa.LargeStringArray
    relevance: Relevance
    """A row for each query."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """What a model makes of queries and of all items."""

    queries: Embeddings
    items: Embeddings
    judged: Embeddings | None


@dataclass(frozen=True, eq=False)
class Found:
    """The items that come first for each query that is measured."""

    clicked: Ints
    """For each query of `Collection.queries`, the places of `DEPTH` items, the best first."""
    judged: Ints | None
    """The same for each of `Collection.judged_rows`."""


@dataclass(frozen=True, eq=False)
class CollectionFigures:
    """What came of searching the whole collection."""

    metrics: dict[str, float]
    """By the names under which they are tracked, with standard errors where there is a sample."""
    per_session: dict[str, Floats]
    """For each of the test sessions, with the prefix `test_`; NaN where it has no click or is not
    in the sample."""
    per_judged_query: Floats | None
    """NDCG@10 of each judged query; NaN where nothing is relevant or it is not in the sample."""


@dataclass(frozen=True, eq=False)
class Collection:
    """All items of a batch, and the test sessions and judgements by which models are measured.

    Each clicked test session counts once, as it does for the ranking of shown results. Where
    queries and items are too many, a sample of the queries is measured, over all items: the mean
    over a sample of queries is unbiased, and its standard error is known, while a sample of the
    items makes ranks, and all that is computed from them, too good (Krichene and Rendle, 2020).

    Args:
        sessions: The test sessions.
        encoder: What is known already of the batch's texts.
        judged: Judged queries, if there are any.
        seed: Of the sample.
    """

    sessions: Sessions
    encoder: "TextEncoder"
    judged: JudgedQueries | None = None
    seed: int = 0

    @cached_property
    def queries(self) -> Ints:
        """The queries that are searched for: those of clicked sessions, or a sample of them."""
        return self._sample(self._clicked_queries)

    @cached_property
    def judged_rows(self) -> Ints:
        """The judged queries that are searched for: all with a relevant item, or a sample."""
        if self.judged is None:
            return np.empty(0, dtype=np.int64)
        return self._sample(np.flatnonzero(self.judged.relevance.counts))

    def embed(self, model: "SentenceTransformer", sessions: Sessions, title: str) -> Embedded:
        """Encode all items and queries; all processes of a run must call it.

        Args:
            model: The model.
            sessions: Whose queries are encoded: the test sessions at least.
            title: Which model it is, as reports of progress say.
        """
        reader = self.encoder.reader(model)
        every_item = np.arange(len(sessions.items))
        with in_eval_mode(model):
            queries = embed_column(
                reader, sessions.queries, sessions.query_index, "query",
                f"encoding queries by {title}",
            )  # fmt: skip
            items = embed_column(
                reader, sessions.items, every_item, "document", f"encoding items by {title}"
            )
            judged = None
            if self.judged is not None:
                title = f"encoding judged queries by {title}"
                judged = embed_column(reader, self.judged.queries, self.judged_rows, "query", title)
        return Embedded(queries, items, judged)

    def search(self, embedded: Embedded) -> Found:
        """Find the items that are most similar to each query that is measured."""
        items = embedded.items.of(np.arange(len(self.sessions.items)))
        clicked = nearest_items(
            embedded.queries.of(self.queries), items, DEPTH, title="searching all items"
        )
        if embedded.judged is None:
            return Found(clicked, None)
        judged = nearest_items(
            embedded.judged.of(self.judged_rows), items, DEPTH,
            title="searching all items for judged queries",
        )  # fmt: skip
        return Found(clicked, judged)

    def figures(self, found: Found) -> CollectionFigures:
        """Return the metrics of what was found."""
        per_session = with_test_prefix(self._per_session(found.clicked))
        metrics: dict[str, float] = {}
        share = len(self.queries) / max(len(self._clicked_queries), 1)
        for name, values in per_session.items():
            metrics |= _with_error(name, values, self.sessions.query_index, share)
        if self.judged is None or found.judged is None:
            return CollectionFigures(metrics, per_session, None)
        judged = _spread(self._of_judged(found.judged), self.judged_rows, len(self.judged.queries))
        share = len(self.judged_rows) / max(int(np.count_nonzero(self.judged.relevance.counts)), 1)
        metrics |= _with_error(JUDGED_METRIC, judged, np.arange(len(judged)), share)
        return CollectionFigures(metrics, per_session, judged)

    @cached_property
    def _clicked_queries(self) -> Ints:
        return np.unique(self.sessions.query_index[self.sessions.not_irrelevant])

    def _sample(self, queries: Ints) -> Ints:
        most = max(_FEWEST_QUERIES, _SIMILARITIES // max(len(self.sessions.items), 1))
        if len(queries) <= most:
            return queries
        random = np.random.default_rng(self.seed)
        return np.sort(random.choice(queries, most, replace=False))

    def _per_session(self, top: Ints) -> dict[str, Floats]:
        sessions = self.sessions
        is_measured = sessions.not_irrelevant & np.isin(sessions.query_index, self.queries)
        measured = np.flatnonzero(is_measured)
        clicks = np.flatnonzero(sessions.clicked & is_measured[sessions.session_index])
        row = np.searchsorted(measured, sessions.session_index[clicks])
        item, grade = sessions.item_index[clicks], sessions.grades[clicks]
        clicked = Relevance(len(measured), row, item, grade)
        top = top[np.searchsorted(self.queries, sessions.query_index[measured])]
        values = {
            RECALL_AT_10: recall(top, clicked, 10),
            RECALL_AT_100: recall(top, clicked, 100),
            NDCG_AT_10: ndcg(top, clicked, 10),
            MRR_AT_100: reciprocal_rank(top, clicked),
        }
        return {name: _spread(each, measured, len(sessions)) for name, each in values.items()}

    def _of_judged(self, top: Ints) -> Floats:
        """Return NDCG@10 of the judged queries that are measured."""
        assert self.judged is not None
        relevance, rows = self.judged.relevance, self.judged_rows
        every_top = np.full((relevance.rows, top.shape[1]), -1, dtype=np.int64)
        every_top[rows] = top
        return ndcg(every_top, relevance, 10)[rows]


def standard_error(values: Floats, query: Ints, share: float) -> float:
    """Return the standard error of a mean over sessions, of whose queries a sample is measured.

    The mean is a ratio of two sums over queries, whose error is linearised (Cochran, Sampling
    techniques, 1977, section 6.4), with the correction for a finite population.

    Args:
        values: For each session its value; NaN where it is not measured.
        query: For each session, its query.
        share: Which share of the queries is measured.
    """
    known = ~np.isnan(values)
    _, row = np.unique(query[known], return_inverse=True)
    counts = np.bincount(row)
    residuals = np.bincount(row, values[known] - values[known].mean())
    queries = len(counts)
    variance = (1 - share) * queries / max(queries - 1, 1) * (residuals**2).sum()
    return float(np.sqrt(variance) / counts.sum())


def _with_error(name: str, values: Floats, query: Ints, share: float) -> dict[str, float]:
    """Return the mean of what is measured; of a sample with its standard error."""
    if np.isnan(values).all():
        return {}
    mean = {name: float(np.nanmean(values))}
    if share == 1:
        return mean
    return mean | {f"{name}{STANDARD_ERROR}": standard_error(values, query, share)}


def _spread(values: Floats, places: Ints, size: int) -> Floats:
    spread = np.full(size, np.nan)
    spread[places] = values
    return spread
