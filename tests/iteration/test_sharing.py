"""Which runs of an iteration a process does, beside others."""

from threading import Event, Thread

import pytest
from tracked import begin, do_run, start_run

from hooktune.errors import ClaimLostError
from hooktune.iteration import sharing
from hooktune.iteration.sharing import share_out
from hooktune.tracking import Iteration, Tracker

WORKS = {key: key for key in "abc"}


@pytest.fixture
def iteration(tracker: Tracker) -> Iteration:
    return begin(tracker)


@pytest.fixture(autouse=True)
def look_again_soon(monkeypatch) -> None:
    monkeypatch.setattr(sharing, "_LOOK_AGAIN_AFTER", 0.05)


def doing(tracker: Tracker, iteration: Iteration, status: str = "FINISHED"):
    """Does a run without any work, and counts them."""
    done = []

    def do(key: str, claim: object) -> None:
        done.append(key)
        tracker.end_run(start_run(tracker, iteration, None, key), status)

    return do, done


def test_alone_a_process_does_all_in_their_order(tracker: Tracker, iteration: Iteration):
    do, done = doing(tracker, iteration)
    assert share_out(tracker, iteration, WORKS, do, Event()) == 3
    assert done == ["a", "b", "c"]
    assert share_out(tracker, iteration, WORKS, do, Event()) == 0


def test_what_another_does_is_waited_for(store_uri: str, tracker: Tracker, iteration: Iteration):
    do, done = doing(tracker, iteration)
    ended: list[int] = []
    looked = Event()
    with Tracker(store_uri).claims(iteration).try_claim("b"):
        others = Thread(
            target=lambda: ended.append(
                share_out(tracker, iteration, WORKS, do, Event(), on_wait=looked.set)
            )
        )
        others.start()
        others.join(2)
        assert looked.is_set()
        assert (done, ended) == (["a", "c"], [])
        do_run(tracker, iteration, 0.1, "b")
    others.join(30)
    assert (done, ended) == (["a", "c"], [2])


def test_what_another_leaves_undone_is_done(store_uri: str, tracker: Tracker, iteration: Iteration):
    do, _done = doing(tracker, iteration)
    with Tracker(store_uri).claims(iteration).try_claim("a"):
        tracker.end_run(start_run(tracker, iteration, None, "a"), "KILLED", "interrupted")
    assert share_out(tracker, iteration, {"a": "a"}, do, Event()) == 1


def test_what_failed_in_another_is_not_tried_again_in_the_same_call(
    store_uri: str, tracker: Tracker, iteration: Iteration
):
    fail, failed = doing(tracker, iteration, "FAILED")
    assert share_out(tracker, iteration, {"a": "a"}, fail, Event()) == 1

    def do(key: str, claim: object) -> None:
        other = Tracker(store_uri)
        other.end_run(start_run(other, iteration, None, "b"), "FAILED", "no luck")
        fail(key, claim)

    assert share_out(tracker, iteration, {"a": "a", "b": "b"}, do, Event()) == 1
    assert failed == ["a", "a"], "a new call tries again what failed before it"


def test_a_run_that_was_lost_is_left_to_who_has_it(tracker: Tracker, iteration: Iteration, caplog):
    do, _done = doing(tracker, iteration)

    def lose(key: str, claim: object) -> None:
        do(key, claim)
        raise ClaimLostError("it slept")

    assert share_out(tracker, iteration, {"a": "a"}, lose, Event()) == 0
    assert "a run was given up: it slept" in caplog.text


def test_a_wish_to_stop_is_heeded_before_the_next_run(tracker: Tracker, iteration: Iteration):
    stop = Event()
    do, _done = doing(tracker, iteration)

    def do_and_stop(key: str, claim: object) -> None:
        do(key, claim)
        stop.set()

    assert share_out(tracker, iteration, WORKS, do_and_stop, stop) == 1
