"""The metrics of each test query, before tuning and after it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hooktune import HooktuneError, QueryFigures
from hooktune.evaluation.query_figures import query_figures
from hooktune.testing import sessions_of
from hooktune.testing.made_up import made_up_sessions

NAN = float("nan")


def figures_of(before: list[float], after: list[float]) -> QueryFigures:
    """Three queries, the first of which has two sessions."""
    sessions = made_up_sessions()
    test = replace(sessions.take(np.arange(4)), query_index=np.array([2, 0, 2, 1]))
    trained = replace(sessions.take(np.arange(1)), query_index=np.array([3]))
    texts = ["Red  Shoes", "x" * 2_000, "hat", "red shoes", *sessions.queries.to_pylist()[4:]]
    queries = pa.array(texts, pa.large_string())
    return query_figures(
        replace(test, queries=queries),
        replace(trained, queries=queries),
        {"test_mrr": np.array(before), "test_other": np.array(before)},
        {"test_mrr": np.array(after)},
    )


def test_the_sessions_of_a_query_are_averaged_before_and_after():
    figures = figures_of([0.5, NAN, 1.0, 0.25], [1.0, NAN, 1.0, 0.5])
    rows = {row["query"]: row for row in figures.as_rows()}
    assert rows["hat"]["sessions"] == 2
    assert rows["hat"]["test_mrr.before"] == 0.75
    assert rows["hat"]["test_mrr.after"] == 1
    assert rows["Red  Shoes"]["test_mrr.sessions"] == 0, "no session of it has the metric"
    pairs = figures.pairs("test_mrr")
    assert pairs.before.tolist() == [0.25, 0.75]
    assert pairs.sessions.tolist() == [1, 2]
    assert np.average(pairs.after, weights=pairs.sessions) == np.mean([1.0, 1.0, 0.5])
    assert figures.metrics == ("test_mrr",), "what was not measured twice is no pair"
    assert len(figures.pairs("test_other").before) == 0


def test_a_query_is_in_training_in_other_letters_and_is_kept_in_part():
    figures = figures_of([1.0] * 4, [1.0] * 4)
    by_query = figures.to_pandas().set_index("query")
    assert by_query["is_in_training"].to_dict() == {
        "Red  Shoes": True, "x" * 500: False, "hat": False,
    }  # fmt: skip
    assert by_query["key"].is_unique
    assert by_query["key"].str.len().eq(16).all()


def test_they_are_read_as_they_were_written_and_a_broken_file_is_refused():
    figures = figures_of([0.5, NAN, 1.0, 0.25], [1.0, NAN, 1.0, 0.5])
    content = figures.to_bytes()
    assert QueryFigures.from_bytes(content).table.equals(figures.table)
    with pytest.raises(HooktuneError, match="cannot be read"):
        QueryFigures.from_bytes(content[:-20])
    sink = pa.BufferOutputStream()
    pq.write_table(figures.table.drop_columns("test_mrr.after"), sink)
    with pytest.raises(HooktuneError, match=r"lack the column 'test_mrr\.after'"):
        QueryFigures.from_bytes(sink.getvalue().to_pybytes())


def test_a_hundred_thousand_queries_take_a_few_megabytes():
    count = 100_000
    sessions = sessions_of([("q", ["a", "b"], ["a"])])
    many = replace(
        sessions,
        queries=pa.array([f"query number {place}" for place in range(count)], pa.large_string()),
        session_ids=pa.array(map(str, range(count)), pa.large_string()),
        query_index=np.arange(count),
        offsets=np.arange(count + 1) * 2,
        item_index=np.tile([0, 1], count),
        clicks=np.tile([1, 0], count),
        rank=np.full(2 * count, np.nan),
    )
    random = np.random.default_rng(0)
    measured = [
        {f"test_metric_{number}": random.random(count) for number in range(5)} for _ in range(2)
    ]
    figures = query_figures(many, many.take(np.arange(10)), *measured)
    assert len(figures) == count
    assert len(figures.to_bytes()) < 10_000_000
