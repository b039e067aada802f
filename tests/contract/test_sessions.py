import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hooktune.contract.sessions import Sessions, TrainingBatch
from hooktune.contract.splits import HOLDOUT, TEST, TRAIN, held_out_sessions, parts_of_sessions
from hooktune.data.release import open_batch
from hooktune.errors import DataError


def sessions_of(log: list[tuple[str, list[int]]]) -> Sessions:
    """Make sessions of queries and the clicks on each of their results."""
    queries = sorted({query for query, _ in log})
    lengths = [len(clicks) for _, clicks in log]
    return Sessions(
        queries=pa.array(queries, pa.string()),
        items=pa.array([f"item {place}" for place in range(sum(lengths))]),
        session_ids=pa.array([f"s{place}" for place in range(len(log))]),
        query_index=np.array([queries.index(query) for query, _ in log]),
        offsets=np.cumsum([0, *lengths]),
        item_index=np.arange(sum(lengths)),
        clicks=np.array([count for _, clicks in log for count in clicks]),
        rank=np.arange(sum(lengths), dtype=np.float32),
    )


def queries_of(sessions: Sessions) -> list[str]:
    return sessions.queries.take(pa.array(sessions.query_index)).to_pylist()


LOG = [("b", [0, 2, 0]), ("a", [0]), ("b", [1, 1])]


def test_the_columns_of_sessions():
    sessions = sessions_of(LOG)
    assert len(sessions) == 3
    assert sessions.result_count == 6
    assert sessions.lengths.tolist() == [3, 1, 2]
    assert sessions.session_index.tolist() == [0, 0, 0, 1, 2, 2]
    assert sessions.positions.tolist() == [1, 2, 3, 1, 1, 2]
    assert sessions.clicked.tolist() == [False, True, False, False, True, True]
    assert sessions.not_irrelevant.tolist() == [True, False, True]
    assert sessions.sum_per_session(sessions.clicks).tolist() == [2, 0, 2]


def test_nothing_adds_up_to_zero():
    sessions = sessions_of([("a", []), ("b", [1, 2]), ("a", []), ("b", [4]), ("a", [])])
    assert sessions.sum_per_session(sessions.clicks).tolist() == [0, 3, 0, 4, 0]
    assert sessions_of([("a", [])]).sum_per_session(np.array([], dtype=np.int64)).tolist() == [0]


def test_sessions_are_taken_by_place_or_by_mask():
    sessions = sessions_of(LOG)
    taken = sessions.take(np.array([2, 0]))
    assert taken.session_ids.to_pylist() == ["s2", "s0"]
    assert taken.clicks.tolist() == [1, 1, 0, 2, 0]
    assert taken.item_index.tolist() == [4, 5, 0, 1, 2]
    assert taken.offsets.tolist() == [0, 2, 5]
    assert queries_of(sessions.take(~sessions.not_irrelevant)) == ["a"]
    again, (places,) = sessions.take_with(np.array([2, 0]), np.arange(sessions.result_count))
    assert again.item_index.tolist() == taken.item_index.tolist()
    assert sessions.item_index[places].tolist() == taken.item_index.tolist()
    assert len(sessions.take(np.array([], dtype=np.int64))) == 0


def test_a_kept_result_keeps_its_position():
    kept = sessions_of(LOG).keep_results(np.array([0, 1, 1, 0, 0, 1], dtype=bool))
    assert kept.lengths.tolist() == [2, 0, 1]
    assert kept.clicks.tolist() == [2, 0, 1]
    assert kept.positions.tolist() == [2, 3, 2]
    assert kept.take(np.array([2, 0])).positions.tolist() == [2, 2, 3]


SESSION_LISTS = st.lists(
    st.tuples(
        st.text("abcdefgh", min_size=1, max_size=2),
        st.lists(st.integers(0, 1), min_size=1, max_size=4),
    ),
    min_size=4,
    max_size=40,
)


@settings(deadline=None)
@given(SESSION_LISTS, st.floats(0.05, 0.95), st.integers(0, 100))
def test_test_sessions_share_no_query_with_training_sessions(log, ratio, seed):
    clicked = {query for query, clicks in log if any(clicks)}
    unclicked = {query for query, _ in log} - clicked
    sessions = sessions_of(log)
    if len(clicked) < 2:
        with pytest.raises(DataError, match="at least 2 are needed"):
            held_out_sessions(sessions, ratio, seed)
        return
    held_out = held_out_sessions(sessions, ratio, seed)
    test, train = sessions.take(held_out), sessions.take(~held_out)
    assert not set(queries_of(test)) & set(queries_of(train))
    for part in (test, train):
        assert part.not_irrelevant.any()
        assert set(queries_of(part)) & unclicked or len(unclicked) < 2


@settings(deadline=None, max_examples=50)
@given(SESSION_LISTS, st.floats(0.05, 0.9), st.floats(0, 0.9), st.integers(0, 100))
def test_a_holdout_is_taken_from_what_would_be_trained_on(log, test_ratio, holdout_ratio, seed):
    log += [("x", [1]), ("y", [1])]
    sessions = sessions_of(log)
    parts = parts_of_sessions(sessions, test_ratio, holdout_ratio, seed)
    np.testing.assert_array_equal(parts == TEST, held_out_sessions(sessions, test_ratio, seed))
    train, held = sessions.take(parts == TRAIN), sessions.take(parts == HOLDOUT)
    assert train.not_irrelevant.any()
    assert not set(queries_of(train)) & set(queries_of(held))
    if holdout_ratio == 0:
        assert not len(held)


@settings(deadline=None)
@given(SESSION_LISTS, st.randoms())
def test_the_split_depends_on_the_queries_and_the_seed_alone(log, random):
    log += [("x", [1]), ("y", [1])]

    def test_queries(log: list[tuple[str, list[int]]]) -> set[str]:
        sessions = sessions_of(log)
        return set(queries_of(sessions.take(held_out_sessions(sessions, 0.3, 7))))

    expected = test_queries(log)
    random.shuffle(log)
    assert test_queries(log) == expected


def test_another_seed_gives_another_split_of_the_same_size():
    sessions = sessions_of([(f"query {place}", [1, 0]) for place in range(100)])
    splits = [held_out_sessions(sessions, 0.2, seed) for seed in (0, 1)]
    assert [split.sum() for split in splits] == [20, 20]
    assert (splits[0] != splits[1]).any()


def test_only_irrelevant_sessions_cannot_be_split():
    with pytest.raises(DataError, match=r"0 of 2 queries have a click.*Release a batch with more"):
        held_out_sessions(sessions_of([("a", [0]), ("b", [0])]), 0.2, 0)


def test_no_array_of_sessions_can_be_written_to(make_batch):
    sessions = open_batch(make_batch()).sessions
    kept = sessions.clicks.copy()
    for some in (sessions, sessions.take(np.arange(5)), sessions.keep_results(sessions.clicked)):
        for name in (
            "query_index", "offsets", "item_index", "clicks", "rank", "shown_at", "lengths",
            "session_index", "positions", "clicked", "not_irrelevant",
        ):  # fmt: skip
            with pytest.raises(ValueError, match="read-only"):
                getattr(some, name)[0] = 1
    assert sessions.clicks.tolist() == kept.tolist()


def test_the_baseline_that_runs_share_cannot_be_written_to_and_its_maker_can_go_on(make_batch):
    sessions = open_batch(make_batch()).sessions
    scores = np.zeros(sessions.result_count)
    batch = TrainingBatch("0" * 24, sessions, scores)
    with pytest.raises(ValueError, match="read-only"):
        batch.baseline[0] = 1
    scores[0] = 1


def test_a_batch_and_its_sessions_say_in_a_line_what_they_are(make_batch):
    batch = open_batch(make_batch())
    assert repr(batch) == f"<Batch {batch.batch_id}: 40 sessions, 30 items>"
    assert repr(batch.sessions) == "<Sessions: 40 sessions, 320 results>"
