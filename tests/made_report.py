"""A made-up run, as a report tells of it."""

import numpy as np
import pandas as pd

from hooktune import (
    ExampleQuery,
    ExampleResult,
    MainMetric,
    MetricChange,
    MetricDescription,
    QuerySlice,
    ReportFacts,
    SimilarityShares,
)
from hooktune.contract.interval import Interval

SHIFT, NDCG = "test_not_irrelevant_dist_shift", "test_ndcg_at_10"


def made_facts(query: str = "red shoes", queries: int = 40) -> ReportFacts:
    """A run that ranks better, told with this query among its examples."""
    random = np.random.default_rng(0)
    before = random.uniform(0.2, 0.6, queries)
    after = before + random.choice([-0.1, 0.0, 0.2], queries)
    results = (ExampleResult(query, True, 0.2, 0.9), ExampleResult("boots", False, 0.5, 0.1))
    run = {"run_id": "a" * 32, "status": "FINISHED", "seconds": 12.5, SHIFT: 0.05, NDCG: 0.62}
    run |= {"test_moved_items_p95": 0.2, "test_moved_top_10": 0.31}
    other = {"run_id": "b" * 32, "status": "FAILED", "params.learning_rate": 3e-5}
    return ReportFacts(
        method="Some Method",
        batch_id="0" * 24,
        run=run,
        improved=True,
        main_metric=MainMetric(),
        changes={
            SHIFT: MetricChange(0.0, 0.05, Interval(0.05, 0.02, 0.08, 0.001, queries, None)),
            NDCG: MetricChange(0.6, 0.62, Interval(0.02, -0.01, 0.05, 0.2, queries, 130)),
            "test_loss": MetricChange(0.4, 0.3),
        },
        described={"loss": MetricDescription("loss", greater_is_better=False)},
        settings=("The seed is 0.",),
        runs=[{**run, "params.learning_rate": 2e-5}, other],
        params={"learning_rate": 2e-5},
        histories={SHIFT: [(1, 0.01), (2, 0.05)], "sliding_train_loss": []},
        queries=pd.DataFrame({f"{NDCG}.before": before, f"{NDCG}.after": after}),
        slices=[
            QuerySlice("length", f"of {words}", MainMetric(NDCG), Interval(*values, 20, None))
            for words, values in (
                ("1 word", (-0.05, -0.08, -0.02, 0.01)),
                ("2 to 9 words", (0.03, 0.0, 0.06, 0.2)),
            )
        ],
        examples=[ExampleQuery(query, 0.4, 0.9, results), ExampleQuery("hats", 0.8, 0.3, results)],
        similarities=SimilarityShares(
            (0.0, 0.5, 1.0), {"clicked": (0.5, 0.5)}, {"clicked": (0.2, 0.8)}
        ),
        warnings=("ranks worse than it should",),
    )
