"""The judgements that a batch's items have: what a model is measured by and never trained on."""

import logging
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.interval import Interval
from hooktune.contract.metric import JUDGED_METRIC
from hooktune.contract.query_text import normal_forms
from hooktune.contract.sessions import Batch, Floats
from hooktune.contract.settings import Split
from hooktune.data.judgements import Judgements
from hooktune.errors import RequestError
from hooktune.evaluation.collection import JudgedQueries
from hooktune.evaluation.kept_files import parquet_bytes
from hooktune.evaluation.retrieval import Relevance
from hooktune.evaluation.statistics import paired_interval

logger = logging.getLogger(__name__)

JUDGED_FILE: Final = "evaluation/judged_queries.parquet"
"""Where a run keeps the figures of the judged queries, among its artifacts."""


def judged_queries(judgements: Judgements, batch: Batch, split: Split) -> JudgedQueries:
    """Find the judged items among those of a batch, and say what can't be found.

    Queries that are trained on are left out: a model knows their clicks, and would be praised for
    what it learned by heart. So are those of the holdout, which no choice is to see. An item that
    the batch does not hold counts nowhere, the ideal ranking included, as no model could find it.
    A query need not be in the log.

    Raises:
        RequestError: Nothing is left to measure, or qrels name queries otherwise than by their
            texts.
    """
    queries = pa.array([*judgements.grades], pa.large_string())
    known = int(pc.sum(pc.is_in(queries, value_set=batch.sessions.queries)).as_py() or 0)
    if judgements.is_qrels and not known:
        raise RequestError(
            f"None of the {len(queries)} queries of the judgements, such as "
            f"{queries[0].as_py()!r}, is a query of the batch. Qrels are to name queries by their "
            "texts, not by numbers. For texts that are not in the log write a table of query, "
            "object_id and grade."
        )
    used = batch.sessions.query_index[np.concatenate([split.train, split.holdout])]
    used_forms = normal_forms(batch.sessions.queries).take(pa.array(np.unique(used)))
    is_left_out = pc.is_in(normal_forms(queries), value_set=used_forms)
    queries = queries.filter(pc.invert(is_left_out))
    if not len(queries):
        raise RequestError(
            f"All {len(judgements.grades)} judged queries are trained on, or kept as the holdout. "
            "Judge queries of the test part, or such as are not in the log."
        )
    pairs = [
        (row, object_id, grade)
        for row, query in enumerate(queries.to_pylist())
        for object_id, grade in judgements.grades[query].items()
    ]
    rows, names, grades = zip(*pairs, strict=True)
    places = pc.index_in(pa.array(names, pa.large_string()), value_set=batch.object_ids)
    is_held = places.is_valid().to_numpy(zero_copy_only=False)
    relevance = Relevance(
        len(queries),
        np.array(rows)[is_held],
        places.drop_null().to_numpy().astype(np.int64),
        np.array(grades)[is_held],
    )
    measured = int(np.count_nonzero(relevance.counts))
    if not measured:
        raise RequestError(
            f"None of the items that are judged relevant, such as {names[0]!r}, is in the batch. "
            "Judgements name items by the object ids of the log."
        )
    logger.info(
        "%d judged queries, of which %d are left out as they are trained on or kept as the "
        "holdout, and %d have a relevant item in the batch; %d of %d judged items are not in it",
        len(judgements.grades), len(judgements.grades) - len(queries), measured,
        len(pairs) - int(is_held.sum()), len(pairs),
    )  # fmt: skip
    return JudgedQueries(queries, relevance)


def judged_figures(judged: JudgedQueries, before: Floats, after: Floats) -> bytes:
    """Return what there is for each judged query, as a Parquet file.

    Its columns are `query`, `relevant` (how many of its items are), and the metric `.before` and
    `.after`, under the starting model and under the run's.
    """
    columns = {
        "query": judged.queries,
        "relevant": judged.relevance.counts,
        f"{JUDGED_METRIC}.before": before,
        f"{JUDGED_METRIC}.after": after,
    }
    return parquet_bytes(pa.table(columns))


def judged_interval(before: Floats, after: Floats) -> Interval:
    """Return how far the metric of the judged queries is from the starting model's."""
    known = ~np.isnan(before) & ~np.isnan(after)
    return paired_interval(before[known], after[known], np.ones(int(known.sum()), dtype=np.int64))
