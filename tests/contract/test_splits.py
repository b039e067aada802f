"""What training and test do not share, and what of the one the other knows."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hooktune import DataError
from hooktune.contract.query_text import word_forms
from hooktune.contract.sessions import Sessions
from hooktune.contract.settings import IterationSettings
from hooktune.contract.splits import HOLDOUT, NEITHER, TEST, TRAIN, leakage, parts_of_sessions


def sessions_of(queries, *, users=None, times=None, clicked=None) -> Sessions:
    """Make a session for each query, which shows two results and has a click on the first."""
    distinct = sorted(set(queries))
    count = len(queries)
    clicks = np.tile([1, 0], count)
    if clicked is not None:
        clicks[::2] = clicked
    return Sessions(
        queries=pa.array(distinct, pa.large_string()),
        items=pa.array(["a", "b"], pa.large_string()),
        session_ids=pa.array([f"s{place:05}" for place in range(count)], pa.large_string()),
        query_index=np.array([distinct.index(query) for query in queries]),
        offsets=np.arange(count + 1) * 2,
        item_index=np.tile([0, 1], count),
        clicks=clicks,
        rank=np.full(2 * count, np.nan),
        times=None if times is None else np.array(times),
        users=None if users is None else np.array(users),
    )


ALIKE = ["red shoes", "Red  Shoes", "shoes RED", "café", "CAFE", "cafe\u0301"]
OTHERS = [f"query {n}" for n in range(40)]


@pytest.mark.parametrize("seed", range(5))
def test_queries_of_the_same_words_are_in_one_part(seed):
    sessions = sessions_of(ALIKE + OTHERS)
    parts = parts_of_sessions(sessions, 0.3, 0.2, seed, "query")
    assert len(set(parts[:3])) == len(set(parts[3:6])) == 1
    assert set(parts) == {TRAIN, TEST, HOLDOUT}
    by_text = [parts_of_sessions(sessions, 0.3, 0.2, each, "text")[:6] for each in range(5)]
    assert any(len(set(parts)) > 1 for parts in by_text)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(OTHERS), min_size=3), st.integers(0, 50))
def test_where_no_two_queries_are_alike_nothing_changes_for_older_iterations(queries, seed):
    sessions = sessions_of(["x", "y", *queries])
    text, query = (parts_of_sessions(sessions, 0.3, 0.1, seed, kind) for kind in ("text", "query"))
    assert text.tolist() == query.tolist()


@settings(deadline=None)
@given(st.text())
def test_a_form_is_its_own_form_and_knows_no_order(text):
    form = word_forms(pa.array([text], pa.large_string()))
    assert word_forms(form) == form
    backwards = " ".join(reversed(form[0].as_py().split(" ")))
    assert word_forms(pa.array([backwards], pa.large_string())) == form


def test_no_user_is_in_two_parts_and_unknown_ones_are_each_their_own():
    users = [*np.arange(60) % 12, *[-1] * 40]
    sessions = sessions_of(["q"] * 100, users=users)
    parts = parts_of_sessions(sessions, 0.3, 0.1, 0, "user")
    for user in range(12):
        assert len(set(parts[np.array(users) == user])) == 1
    assert len(set(parts[60:])) == 3
    with pytest.raises(DataError, match="Release the log with --keep users"):
        parts_of_sessions(sessions_of(["q"] * 9), 0.2, 0, 0, "user")


def test_training_is_before_test_and_test_before_the_holdout():
    times = np.random.default_rng(0).permutation(100)
    sessions = sessions_of(["q"] * 100, times=times)
    parts = parts_of_sessions(sessions, 0.2, 0.1, 0, "time")
    spans = [(times[parts == part].min(), times[parts == part].max()) for part in range(3)]
    assert spans == [(0, 69), (70, 89), (90, 99)]
    without = parts_of_sessions(sessions, 0.2, 0, 0, "time")
    assert [int((without == part).sum()) for part in range(3)] == [80, 20, 0]


def test_what_was_at_one_moment_is_in_one_part():
    sessions = sessions_of(["q"] * 100, times=[0] * 50 + [1] * 50)
    parts = parts_of_sessions(sessions, 0.2, 0, 0, "time")
    assert [int((parts == part).sum()) for part in range(2)] == [50, 50]


@pytest.mark.parametrize("times", [None, [1, 2, -1, 3]])
def test_a_split_by_time_needs_all_times(times):
    with pytest.raises(DataError, match="does not hold the times of all of its sessions"):
        parts_of_sessions(sessions_of(["q"] * 4, times=times), 0.2, 0, 0, "time")


def test_a_part_without_a_click_is_refused():
    sessions = sessions_of(["q"] * 10, times=range(10), clicked=[1] * 5 + [0] * 5)
    with pytest.raises(DataError, match="A split by time leaves no session with a click to test"):
        parts_of_sessions(sessions, 0.2, 0, 0, "time")


def test_both_together_leave_out_what_is_of_neither():
    queries = [f"query {n % 20}" for n in range(400)]
    sessions = sessions_of(queries, times=range(400))
    parts = parts_of_sessions(sessions, 0.25, 0, 3, "query-and-time")
    train, test = (np.flatnonzero(parts == part) for part in (TRAIN, TEST))
    assert train.max() < test.min()
    assert not set(sessions.query_index[train]) & set(sessions.query_index[test])
    assert (parts == NEITHER).any()
    found = leakage(sessions, train, test)
    assert (found.queries, found.users, found.is_from_before) == (0, None, 0)


def test_leakage_is_measured_and_said():
    queries = ["red shoes", "hat", "Shoes red", "hat", "other"]
    sessions = sessions_of(queries, users=[1, 2, 1, -1, 3], times=[5, 6, 7, 8, 4])
    found = leakage(sessions, np.array([0, 1]), np.array([2, 3, 4]))
    assert found.queries == pytest.approx(2 / 3)
    assert found.texts == found.users == found.is_from_before == pytest.approx(1 / 3)
    assert found.in_words() == (
        "of the test sessions 66.7% have a query of the same words as one that is trained on, "
        "33.3% are of a user who is trained on, 33.3% are from before the last training session"
    )
    nothing = leakage(sessions_of(["a", "b"]), np.array([0]), np.array([1]))
    assert nothing.in_words() is None


def test_the_setting_splits_and_what_was_recorded_without_it_splits_by_text():
    sessions = sessions_of(ALIKE + OTHERS)
    recorded = IterationSettings().as_facts()
    del recorded["hooktune.split_by"]
    old = IterationSettings.from_tags({name: str(value) for name, value in recorded.items()})
    assert old.split_by == "text"
    split = IterationSettings(split_by="query", test_ratio=0.3, seed=1).split(sessions)
    expected = parts_of_sessions(sessions, 0.3, 0, 1, "query")
    assert split.test.tolist() == np.flatnonzero(expected == TEST).tolist()


def test_times_and_users_stay_with_their_sessions():
    sessions = sessions_of(["b", "a", "c"], users=[1, 2, 3], times=[4, 5, 6])
    taken = sessions.take(np.array([2, 0]))
    assert (taken.users.tolist(), taken.times.tolist()) == ([3, 1], [6, 4])
    assert taken.keep_results(np.array([True, False, True, False])).times.tolist() == [6, 4]
    assert replace(sessions, times=None).take(np.array([0])).times is None
