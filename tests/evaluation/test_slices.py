"""For which queries a run is better, and for which it is worse."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from champions import finish
from made_figures import made_figures
from made_records import a_run
from tracked import METHOD

from hooktune import QueryFigures, Runner
from hooktune.contract.metric import MainMetric
from hooktune.contract.settings import IterationSettings
from hooktune.evaluation.evidence import evidence_tags
from hooktune.evaluation.label_figures import label_figures, label_parts
from hooktune.evaluation.query_figures import QUERIES_FILE
from hooktune.evaluation.slices import query_slices
from hooktune.testing.made_up import made_up_sessions
from hooktune.tracking import Tracker

NDCG = "test_ndcg_at_10"
RANKING = MainMetric(NDCG)


def figures_of(change: np.ndarray, **columns) -> QueryFigures:
    random = np.random.default_rng(0)
    before = random.uniform(0.3, 0.6, len(change))
    return made_figures({NDCG: (before, before + change)}, **columns)


def names(figures: QueryFigures) -> list[str]:
    return [found.name for found in query_slices(figures, RANKING)]


def test_queries_are_told_apart_by_all_that_is_kept_of_them():
    figures = figures_of(
        np.zeros(9),
        query=["a", "b", "c", "a b", "c d", "e f", "a b c d", "a b c e", "a b c d e f"],
        sessions=np.array([9, 3, 3, 3, 1, 1, 1, 1, 1]),
        results=np.array([2.0, 2.0, 2.2, 5.0, 5.0, 5.0, 9.0, 9.0, 8.0]),
        is_in_training=np.arange(9) == 0,
    )
    assert names(figures) == [
        "of the head, 9 searches", "of the torso, 3 searches", "of the tail, 1 search",
        "that were never seen in training", "that were seen in training in other letters",
        "of 1 word", "of 2 words", "of 4 to 6 words",
        "of 2 results", "of 5 results", "of 8 to 9 results",
    ]  # fmt: skip
    counts = [found.interval.queries for found in query_slices(figures, RANKING)]
    assert counts == [1, 3, 5, 8, 1, 3, 3, 3, 3, 3, 3]


def test_queries_that_have_all_in_common_are_no_slice():
    assert names(figures_of(np.zeros(9))) == []
    assert names(figures_of(np.zeros(0))) == []


def test_what_a_few_queries_lost_is_told_though_the_others_won():
    random = np.random.default_rng(1)
    is_long = np.arange(200) < 60
    change = random.normal(0, 0.05, 200) + np.where(is_long, -0.05, 0.05)
    words = ["one two three" if each else "one" for each in is_long]
    figures = figures_of(change, query=words)
    told = {found.name: found.verdict for found in query_slices(figures, RANKING)}
    assert told == {"of 1 word": "better", "of 3 words": "worse"}
    tags = evidence_tags(IterationSettings(guard=()), figures, {NDCG: 0.5}, {NDCG: 0.4})
    warning = a_run("aa", tags=tags).tags["hooktune.warning"]
    assert warning.startswith(f"is worse for queries of 3 words ({NDCG} -0.0")


def test_the_more_slices_are_compared_the_more_each_has_to_show():
    random = np.random.default_rng(0)
    told = 0
    for _ in range(100):
        figures = figures_of(
            random.normal(0, 0.1, 60),
            query=["a " * words for words in random.integers(1, 9, 60)],
            results=random.integers(5, 20, 60).astype(np.float64),
            is_in_training=random.random(60) < 0.3,
        )
        told += any(found.verdict != "unknown" for found in query_slices(figures, RANKING))
    assert told <= 10


def test_runs_have_slices_that_were_done_before_there_were_any(store_uri: str):
    tracker = Tracker(store_uri)
    run = finish(tracker, 1, 0.1)
    figures = figures_of(np.zeros(9), query=["a", "b c"] * 4 + ["d"])
    tracker.log_file(run, figures.to_bytes(), QUERIES_FILE)
    runner = Runner(store_uri)
    assert runner.best(METHOD).run_id == run.run_id
    slices = runner.slices(run.run_id)
    assert {found.name for found in slices} == {"of 1 word", "of 2 words"}
    assert slices.to_pandas()["verdict"].tolist() == ["unknown"] * 2
    with pytest.raises(Exception, match="kept no figures"):
        runner.slices(tracker.initial_run(METHOD))


def labelled_sessions(values: dict[str, list[str | None]]):
    """Sessions of six queries in turn, with labels."""
    sessions = made_up_sessions()
    columns = [pa.array(each, pa.string()).dictionary_encode() for each in values.values()]
    count = len(next(iter(values.values())))
    taken = sessions.take(np.resize(np.arange(len(sessions)), count))
    labelled = pa.record_batch(columns, names=list(values))
    return replace(taken, query_index=np.arange(count) % 6, labels=labelled)


def test_a_query_counts_in_each_market_in_which_it_is_searched():
    sessions = labelled_sessions({"market": ["DE", "US", "DE", None] * 3})
    after = np.where(np.arange(12) % 4 == 1, 0.25, 0.75)
    found = label_figures(sessions, sessions, {NDCG: np.full(12, 0.5)}, {NDCG: after})
    again = label_parts(QueryFigures.from_bytes(found.to_bytes()))
    pairs = {name: part.pairs(NDCG) for name, part in again["market"].items()}
    assert {name: each.sessions.tolist() for name, each in pairs.items()} == {
        "where market is DE": [2, 2, 2],
        "where market is US": [1, 1, 1],
        "where market is not stated": [1, 1, 1],
    }
    assert pairs["where market is US"].after.tolist() == [0.25] * 3
    slices = query_slices(figures_of(np.zeros(1)), RANKING, found)
    assert [each.kind for each in slices] == ["label"] * 3


def test_rare_values_are_one_part_and_a_label_that_all_have_is_none():
    values = ["DE", "DE", *"bcdefghijklm", "DE", "b"]
    sessions = labelled_sessions({"market": values, "site": ["shop"] * 16})
    half = {NDCG: np.full(16, 0.5)}
    slices = query_slices(
        figures_of(np.zeros(1)), RANKING, label_figures(sessions, sessions, half, half)
    )
    assert [found.name for found in slices] == [
        f"where market is {value}" for value in ["DE", *"bcdefghij", "another"]
    ]
    assert [found.interval.queries for found in slices] == [3, 2, *[1] * 8, 3]
    unlabelled = replace(sessions, labels=None)
    assert label_figures(unlabelled, sessions, half, half) is None
