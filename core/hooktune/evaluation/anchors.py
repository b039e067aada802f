"""What can be had without any tuning, measured as models are: the anchors of a comparison."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import torch

from hooktune.contract.listing import Listing
from hooktune.contract.metric import RANKING_METRIC, RECIPROCAL_RANK, with_test_prefix
from hooktune.contract.sessions import Batch, Floats, Ints, Sessions
from hooktune.contract.settings import NO_JUDGEMENTS
from hooktune.data.judgements import Judgements
from hooktune.errors import RequestError
from hooktune.evaluation.collection import DEPTH, Collection, Embedded, Found, JudgedQueries
from hooktune.evaluation.comparison import Anchor, Comparison
from hooktune.evaluation.judged import judged_queries
from hooktune.evaluation.lexical import Bm25
from hooktune.plugin.host import Host
from hooktune.progress import phase, track
from hooktune.training.encoder import TextEncoder
from hooktune.training.search import best_columns

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.settings import IterationSettings
    from hooktune.tracking import Tracker

SHOWN_ORDER: Final = "shown order"
BM25: Final = "BM25"
HYBRID: Final = "BM25 + starting model"

_SCORES_AT_ONCE: Final = 1 << 23


@dataclass(frozen=True, eq=False)
class _Rows:
    """Queries that are scored against all items."""

    texts: list[str]
    vectors: torch.Tensor


def measure_anchors(
    host: Host,
    batch: Batch,
    settings: "IterationSettings",
    model: "SentenceTransformer",
    judged: JudgedQueries | None,
) -> list[Anchor]:
    """Measure the shown order, BM25, and the sum of the z-scores of BM25 and the starting model.

    A z-score says by how many standard deviations a score is above the mean over all items.

    Args:
        host: The plugins that compute metrics.
        batch: The released batch.
        settings: Those of the iterations that are compared: which sessions they test with.
        model: The starting model.
        judged: Judged queries to measure by as well, if there are any.

    Returns:
        The anchors. Of the sessions only rankings are compared: the shown order ranks nothing else,
        and no anchor has moved any similarity.
    """
    test = batch.sessions.take(settings.split(batch.sessions).test)
    collection = Collection(test, TextEncoder(model), judged, settings.seed)
    embedded = collection.embed(model, test, "the starting model")
    measured = test.not_irrelevant & np.isin(test.query_index, collection.queries)
    sessions = test.take(measured)
    with phase("reading the words of all items", len(test.items)):
        bm25 = Bm25(test.items.to_pylist())
    items = embedded.items.of(np.arange(len(test.items))).cpu()
    asked = _rows(test.queries, collection.queries, embedded.queries.of(collection.queries))
    row_of_result = np.searchsorted(
        collection.queries, sessions.query_index[sessions.session_index]
    )
    found = [*_found(asked, bm25, items, row_of_result, sessions.item_index, "test queries")]
    of_judged = _judged_tops(collection, embedded, bm25, items)
    anchors = [Anchor(SHOWN_ORDER, _ranking(host, model, sessions, 1 / sessions.positions))]
    for place, name in enumerate((BM25, HYBRID)):
        figures = collection.figures(Found(found[place][0], of_judged[place]))
        ranking = _ranking(host, model, sessions, found[place][1])
        anchors.append(Anchor(name, ranking | figures.metrics))
    return anchors


def with_anchors(
    comparison: Comparison,
    tracker: "Tracker",
    open_host: Callable[[], Host],
    batch: Batch,
    judgements: Judgements | None,
    device: str | None,
) -> Comparison:
    """Measure the anchors of a comparison on the sessions that its methods were tested with.

    Args:
        comparison: The methods of the batch.
        tracker: The tracking store.
        open_host: Opens the plugins that compute metrics.
        batch: The batch.
        judgements: Those that the methods were measured by, if they were.
        device: The torch device to encode on.

    Raises:
        RequestError: The methods do not compare, were measured by other judgements, or no longer
            have the model that they started from.
    """
    if comparison.obstacles:
        raise RequestError(
            "The methods do not compare, so that there is nothing to anchor: "
            + " ".join(comparison.obstacles)
        )
    first = comparison.methods[0].iteration
    settings = first.settings
    recorded = NO_JUDGEMENTS if judgements is None else judgements.digest
    if judgements is not None and recorded != settings.judgements:
        raise RequestError(
            f"The methods were measured by the judgements {settings.judgements}, and those that "
            f"are given are {recorded}. Give the file that they were measured by, or none."
        )
    start = tracker.run(first.starting_run)
    if not tracker.has_model(start):
        raise RequestError(
            f"The model that {first.name.method} started from, that of run {start.run_id}, was "
            "deleted when a better one replaced it. Compare without --baselines."
        )
    model = tracker.load_model(start, device)
    split = settings.split(batch.sessions)
    judged = None if judgements is None else judged_queries(judgements, batch, split)
    anchors = measure_anchors(open_host(), batch, settings, model, judged)
    return replace(comparison, anchors=Listing(anchors))


def _rows(texts: pa.LargeStringArray, rows: Ints, vectors: torch.Tensor) -> _Rows:
    return _Rows(texts.take(pa.array(rows)).to_pylist(), vectors.cpu())


def _judged_tops(
    collection: Collection, embedded: Embedded, bm25: Bm25, items: torch.Tensor
) -> list[Ints | None]:
    if collection.judged is None or embedded.judged is None:
        return [None, None]
    rows = collection.judged_rows
    asked = _rows(collection.judged.queries, rows, embedded.judged.of(rows))
    nothing = np.empty(0, dtype=np.int64)
    return [top for top, _ in _found(asked, bm25, items, nothing, nothing, "judged queries")]


def _found(
    asked: _Rows, bm25: Bm25, items: torch.Tensor, row: Ints, item: Ints, what: str
) -> Iterator[tuple[Ints, Floats]]:
    """Yield, for BM25 and for the hybrid, the first items of each query and the scores of pairs.

    Args:
        asked: The queries.
        bm25: Scores by words.
        items: The embeddings of all items.
        row: For each of some pairs, the place of its query.
        item: For each of the pairs, its item.
        what: What progress says of the queries.
    """
    tops: list[list[Ints]] = [[], []]
    pairs = np.zeros((2, len(row)), dtype=np.float32)
    at_once = max(1, _SCORES_AT_ONCE // max(len(items), 1))
    parts = np.split(np.arange(len(asked.texts)), range(at_once, len(asked.texts), at_once))
    for part in track(parts, [*map(len, parts)], f"scoring all items for {what}"):
        words = torch.from_numpy(bm25.scores([asked.texts[place] for place in part]))
        similarities = asked.vectors[part] @ items.T
        within = np.flatnonzero(np.isin(row, part))
        for place, scores in enumerate((words, _standardised(words) + _standardised(similarities))):
            tops[place].append(best_columns([scores], DEPTH))
            pairs[place, within] = scores.numpy()[row[within] - part[0], item[within]]
    for top, of_pairs in zip(tops, pairs, strict=True):
        yield np.concatenate(top), of_pairs


def _standardised(scores: torch.Tensor) -> torch.Tensor:
    """Return the z-scores of each row; 0 in a row whose scores are all equal."""
    deviation = scores.std(dim=1, keepdim=True, correction=0)
    centred = scores - scores.mean(dim=1, keepdim=True)
    return torch.where(deviation > 0, centred / deviation, 0.0)


def _ranking(
    host: Host, model: "SentenceTransformer", sessions: Sessions, scores: Floats
) -> dict[str, float]:
    scores = scores.astype(np.float32)
    computed = with_test_prefix(host.compute_metrics(model, sessions, scores, scores).metrics)
    return {name: computed[name] for name in (RANKING_METRIC, RECIPROCAL_RANK) if name in computed}
