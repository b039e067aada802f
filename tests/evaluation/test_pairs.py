"""Which of two methods is better on the same queries."""

import numpy as np
import pytest
from made_figures import made_figures
from tracked import finish

from hooktune.cli import comparison as shown
from hooktune.contract.metric import MainMetric
from hooktune.contract.settings import IterationSettings
from hooktune.evaluation.comparison import compare
from hooktune.evaluation.query_figures import QUERIES_FILE, QueryFigures
from hooktune.tracking import Tracker

NDCG = "test_ndcg_at_10"


def figures_around(change: float, queries: range) -> QueryFigures:
    """The queries' NDCG, which is much alike for all methods."""
    before = np.random.default_rng(0).uniform(0.2, 0.6, 200)[list(queries)]
    noise = np.random.default_rng(abs(int(change * 1_000))).normal(0, 0.02, len(queries))
    return made_figures({NDCG: (before, before + change + noise)}, queries)


def test_each_two_methods_are_compared_on_the_queries_that_both_have(tracker: Tracker):
    for method, value, change, queries in (
        ("Good", 0.3, 0.1, range(100)),
        ("Like it", 0.2, 0.101, range(50, 150)),
        ("Worse", 0.1, 0.02, range(100)),
    ):
        finish(tracker, 1, value, method=method)
        run = next(run for each in tracker.iterations(method) for run in tracker.runs(each))
        tracker.log_file(run, figures_around(change, queries).to_bytes(), QUERIES_FILE)
    finish(tracker, 1, 0.05, method="Of an earlier version")

    compared = compare(tracker, f"{1:024x}")
    told = {(pair.first, pair.second): pair for pair in compared.pairs}
    assert {pair.metric for pair in compared.pairs} == {MainMetric(NDCG)}
    assert {names: pair.better for names, pair in told.items()} == {
        ("Like it", "Good"): None, ("Worse", "Good"): "Good", ("Worse", "Like it"): "Like it",
    }  # fmt: skip
    assert told["Worse", "Good"].interval.difference == pytest.approx(0.08, abs=0.01)
    assert told["Worse", "Like it"].interval.queries == 50
    assert told["Like it", "Good"].interval.more_queries > 0
    lines = shown.comparison_remarks(compared)
    assert any(line.startswith(f"Good: by {NDCG} it is better than Worse: +0.0") for line in lines)
    assert any(f"Good: by {NDCG} it cannot be told from Like it" in line for line in lines)
    rows = shown.comparison_json(compared)["pairs"]
    assert [row["better"] for row in rows] == [None, "Good", "Like it"]
    assert all(0 < row["p"] <= 1 for row in rows)


@pytest.mark.parametrize(("seed", "compared_by"), [(0, [MainMetric(NDCG)]), (1, [])])
def test_methods_that_choose_by_other_metrics_are_compared_by_ranking_the_same_queries(
    tracker: Tracker, seed: int, compared_by: list[MainMetric]
):
    other = IterationSettings(seed=seed, main_metric=MainMetric("test_dist_shift_gap"))
    for method, change, settings in (
        ("By shift", 0.1, IterationSettings()),
        ("By gap", 0.02, other),
    ):
        finish(tracker, 1, 0.1, method=method, settings=settings)
        run = next(run for each in tracker.iterations(method) for run in tracker.runs(each))
        content = figures_around(change, range(100)).to_bytes()
        tracker.log_file(run, content, QUERIES_FILE)
    compared = compare(tracker, f"{1:024x}")
    assert compared.winner is None
    assert [pair.metric for pair in compared.pairs] == compared_by
    assert [pair.better for pair in compared.pairs] == ["By shift"] * len(compared_by)
