import itertools
import math
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hooktune_metrics
from hooktune import Sessions
from hooktune.plugin.measured import read_measured
from hooktune_metrics.distance_shift import distance_shift
from hooktune_metrics.ranking import ranking_quality

Clicks = list[list[int]]


def sessions_with(clicks: Clicks) -> Sessions:
    """Make sessions that each have a query of their own and show results with these clicks."""
    count = sum(map(len, clicks))
    return Sessions(
        queries=pa.array([f"query {place}" for place in range(len(clicks))]),
        items=pa.array([f"item {place}" for place in range(count)]),
        session_ids=pa.array([f"s{place}" for place in range(len(clicks))]),
        query_index=np.arange(len(clicks)),
        offsets=np.cumsum([0, *map(len, clicks)]),
        item_index=np.arange(count),
        clicks=np.array(list(itertools.chain(*clicks)), dtype=np.int32),
        rank=np.full(count, np.nan, dtype=np.float32),
    )


@st.composite
def measured_sessions(draw: st.DrawFn) -> tuple[Clicks, list[list[float]], list[list[float]]]:
    """Draw the clicks, scores (all different) and baselines of some sessions."""
    clicks = draw(
        st.lists(
            st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=1, max_size=15),
            min_size=1,
            max_size=8,
        )
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32)))

    def similarities() -> list[list[float]]:
        return [list(random.uniform(-1, 1, len(shown))) for shown in clicks]

    return clicks, similarities(), similarities()


def averaged(metrics: dict[str, float | np.ndarray]) -> dict[str, float]:
    """What the host makes of metrics: of one that is known for each session, the mean."""
    return read_measured(metrics).metrics


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def brute_force(
    clicks: Clicks, scores: list[list[float]], baseline: list[list[float]]
) -> dict[str, float]:
    metrics: dict[str, list[float]] = {}
    for counts, after, before in zip(clicks, scores, baseline, strict=True):
        shift = [s - b for s, b in zip(after, before, strict=True)]
        clicked = [place for place, count in enumerate(counts) if count]
        others = [place for place, count in enumerate(counts) if not count]
        if not clicked:
            metrics.setdefault("irrelevant_dist_shift", []).append(mean([-d for d in shift]))
            continue
        of_clicked = mean([shift[place] for place in clicked])
        metrics.setdefault("not_irrelevant_dist_shift", []).append(of_clicked)
        if others:
            of_others = mean([shift[place] for place in others])
            metrics.setdefault("dist_shift_gap", []).append(of_clicked - of_others)
        ranks = [1 + sum(other > after[place] for other in after) for place in clicked]
        gain = sum(1 / math.log2(1 + rank) for rank in ranks if rank <= 10)
        ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(len(clicked), 10) + 1))
        metrics.setdefault("ndcg_at_10", []).append(gain / ideal)
        metrics.setdefault("mrr", []).append(1 / min(ranks))
    return {name: mean(values) for name, values in metrics.items()}


@settings(deadline=None)
@given(measured_sessions())
def test_all_metrics_equal_their_plain_definitions(measured):
    clicks, scores, baseline = measured
    sessions = sessions_with(clicks)
    flat = [np.array(list(itertools.chain(*values))) for values in (scores, baseline)]
    expected = brute_force(clicks, scores, baseline)
    metrics = hooktune_metrics.compute_metrics(sessions, *flat)
    assert averaged(metrics) == pytest.approx(expected, abs=1e-9)
    assert all(values.shape == (len(sessions),) for values in metrics.values())


def test_a_figure_that_no_session_defines_is_left_out():
    def names(*clicks: list[int]) -> set[str]:
        sessions = sessions_with(list(clicks))
        scores = np.linspace(0, 1, sessions.result_count, dtype=np.float32)
        return set(hooktune_metrics.compute_metrics(sessions, scores, scores))

    ranking = {"ndcg_at_10", "mrr"}
    assert names([0, 0]) == {"irrelevant_dist_shift"}
    assert names([1, 1]) == {"not_irrelevant_dist_shift"} | ranking
    assert names([1, 0]) == {"not_irrelevant_dist_shift", "dist_shift_gap"} | ranking


def test_each_session_has_its_own_value_or_none():
    sessions = sessions_with([[0, 1], [0, 0], [2, 0]])
    metrics = hooktune_metrics.compute_metrics(
        sessions, np.array([0.2, 0.1, 0.5, 0.5, 0.4, 0.3]), np.zeros(6)
    )
    assert metrics["mrr"].tolist() == pytest.approx([0.5, math.nan, 1], nan_ok=True)
    gap = [-0.1, math.nan, 0.1]
    assert metrics["dist_shift_gap"].tolist() == pytest.approx(gap, nan_ok=True)
    shift = [math.nan, -0.5, math.nan]
    assert metrics["irrelevant_dist_shift"].tolist() == pytest.approx(shift, nan_ok=True)


def test_an_unknown_baseline_of_another_result_leaves_the_clicked_results_shift_alone():
    sessions = sessions_with([[1, 0]])
    baseline = np.array([0.25, np.nan])
    metrics = averaged(distance_shift(sessions, np.array([0.5, 0.5]), baseline))
    assert metrics["not_irrelevant_dist_shift"] == 0.25
    assert math.isnan(metrics["dist_shift_gap"])


def test_many_small_shifts_are_added_up_exactly():
    sessions = sessions_with([[1] * 20] * 5_000)
    scores = np.full(sessions.result_count, 0.1, dtype=np.float32)
    metrics = averaged(distance_shift(sessions, scores, np.zeros_like(scores)))
    assert metrics["not_irrelevant_dist_shift"] == pytest.approx(float(np.float32(0.1)), abs=1e-12)


def test_ties_know_neither_clicks_nor_the_shown_order():
    clicks = [[1] + [0] * 9] * 2_000
    first = sessions_with(clicks)
    scores = np.zeros(first.result_count, dtype=np.float32)
    # The chance that one clicked result of ten lands on each rank is the same.
    by_chance = {
        "mrr": mean([1 / rank for rank in range(1, 11)]),
        "ndcg_at_10": mean([1 / math.log2(1 + rank) for rank in range(1, 11)]),
    }
    in_order = averaged(ranking_quality(first, scores))
    assert in_order == pytest.approx(by_chance, abs=0.02)

    shuffled = replace(
        sessions_with([counts[::-1] for counts in clicks]),
        item_index=first.item_index.reshape(-1, 10)[:, ::-1].ravel(),
    )
    assert averaged(ranking_quality(shuffled, scores)) == in_order


def test_a_nan_is_ranked_last():
    sessions = sessions_with([[1, 0, 0]])
    quality = ranking_quality(sessions, np.array([np.nan, -1.0, -2.0]))
    assert averaged(quality)["mrr"] == pytest.approx(1 / 3)


def test_ranks_found_in_parts_are_those_found_at_once(monkeypatch):
    random = np.random.default_rng(0)
    sessions = sessions_with(random.integers(0, 2, (50, 7)).tolist())
    scores = random.random(sessions.result_count, dtype=np.float32)
    at_once = averaged(ranking_quality(sessions, scores))
    for size in (1, 5, 40):
        monkeypatch.setattr("hooktune_metrics.ranking._COMPARED_AT_ONCE", size)
        assert averaged(ranking_quality(sessions, scores)) == at_once


def test_a_mini_batch_is_measured_in_no_time():
    sessions = sessions_with([[1] + [0] * 19, [0] * 20] * 8)
    scores = np.random.default_rng(0).random(sessions.result_count, dtype=np.float32)
    durations = []
    for _ in range(20):
        begin = time.perf_counter()
        hooktune_metrics.compute_metrics(sessions, scores, scores)
        durations.append(time.perf_counter() - begin)
    assert min(durations) < 0.001


def cosines(sessions: Sessions, queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    queries, items = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (queries, items)
    )
    query_of = sessions.query_index[sessions.session_index]
    return np.einsum("ij,ij->i", queries[query_of], items[sessions.item_index])


def test_the_main_metric_can_rise_without_any_better_ranking():
    # Adding one constant vector to all embeddings moves them towards each other, and that is all.
    random = np.random.default_rng(0)
    sessions = sessions_with([[1] + [0] * 19] * 300)
    queries = random.normal(size=(300, 64))
    items = random.normal(size=(sessions.result_count, 64))
    constant = random.normal(size=64)
    baseline = cosines(sessions, queries, items)
    moved = cosines(sessions, queries + constant, items + constant)

    before = averaged(hooktune_metrics.compute_metrics(sessions, baseline, baseline))
    after = averaged(hooktune_metrics.compute_metrics(sessions, moved, baseline))
    assert after["not_irrelevant_dist_shift"] > 0.4
    assert after["dist_shift_gap"] == pytest.approx(0, abs=0.02)
    assert after["ndcg_at_10"] == pytest.approx(before["ndcg_at_10"], abs=0.03)
    assert after["mrr"] == pytest.approx(before["mrr"], abs=0.03)


def test_ranking_can_rise_while_the_main_metric_falls_below_zero():
    # Tuning that turns all items away from their queries, the clicked ones least of all.
    random = np.random.default_rng(0)
    sessions = sessions_with([[1] + [0] * 19] * 300)
    queries = random.normal(size=(300, 64))
    items = random.normal(size=(sessions.result_count, 64))
    items += queries[sessions.session_index]
    push = np.where(sessions.clicked, 0.05, 0.5)[:, None]
    baseline = cosines(sessions, queries, items)
    tuned = cosines(sessions, queries, items - push * queries[sessions.session_index])

    before = averaged(hooktune_metrics.compute_metrics(sessions, baseline, baseline))
    after = averaged(hooktune_metrics.compute_metrics(sessions, tuned, baseline))
    assert after["not_irrelevant_dist_shift"] < 0
    assert after["ndcg_at_10"] > before["ndcg_at_10"] + 0.1
    assert after["mrr"] > before["mrr"] + 0.1
    assert after["dist_shift_gap"] > 0.1
