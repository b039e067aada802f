"""The metrics over the whole collection, which hooktune measures itself."""

from typing import Final

from hooktune.contract.metric import JUDGED_METRIC, TEST_PREFIX, MetricDescription

RECALL_AT_10: Final = "collection_recall_at_10"
RECALL_AT_100: Final = "collection_recall_at_100"
NDCG_AT_10: Final = "collection_ndcg_at_10"
MRR_AT_100: Final = "collection_mrr_at_100"
"""Of the clicked items, in each test session, among all items of the batch; without prefix."""

MOVED_ITEMS: Final = "moved_items"
MOVED_ITEMS_P95: Final = "moved_items_p95"
MOVED_QUERIES: Final = "moved_queries"
MOVED_QUERIES_P95: Final = "moved_queries_p95"
MOVED_TOP_10: Final = "moved_top_10"
"""How far a run has moved things from where the starting model has them; without prefix."""

STANDARD_ERROR: Final = "_standard_error"
"""What is added to the name of a metric that was measured on a sample, for its standard error."""

COLLECTION_RANKING_METRIC: Final = f"{TEST_PREFIX}{NDCG_AT_10}"
"""The one of the metrics over the collection that is shown in tables."""

_MOVED: Final = (
    (MOVED_ITEMS, "The mean cosine distance of items' embeddings from the starting model's."),
    (MOVED_ITEMS_P95, "That cosine distance which 95 of 100 items do not pass."),
    (MOVED_QUERIES, "The mean cosine distance of queries' embeddings from the starting model's."),
    (MOVED_QUERIES_P95, "That cosine distance which 95 of 100 queries do not pass."),
    (
        MOVED_TOP_10,
        "The share of the first ten of all items that the starting model did not have there.",
    ),
)

COLLECTION_DESCRIPTIONS: Final = {
    name: MetricDescription(name, greater_is_better=True, description=description)
    for name, description in (
        (RECALL_AT_10, "The share of clicked items that is among the first ten of all items."),
        (RECALL_AT_100, "The share of clicked items that is among the first 100 of all items."),
        (NDCG_AT_10, "How high clicked items are among the first ten of all items, 1 being best."),
        (
            MRR_AT_100,
            "The mean of 1 / rank, among all items, of the clicked item that is ranked best; 0 "
            "beyond the first 100.",
        ),
        (
            JUDGED_METRIC,
            "How high judged items are among the first ten of all items by their grades, 1 being "
            "best.",
        ),
    )
} | {
    name: MetricDescription(name, greater_is_better=False, description=description)
    for name, description in _MOVED
}
"""By their names without prefix."""

_TRACKED: Final = {
    name if name == JUDGED_METRIC else f"{TEST_PREFIX}{name}" for name in COLLECTION_DESCRIPTIONS
}


def is_movement(name: str) -> bool:
    """Tell whether a metric, by the name under which it is tracked, says how far things moved."""
    return name in {f"{TEST_PREFIX}{moved}" for moved, _ in _MOVED}


def is_of_collection(name: str) -> bool:
    """Tell whether a metric, by the name under which it is tracked, is one over the collection."""
    return name in _TRACKED
