"""Claims: who holds a key, and what becomes of the claims of the dead and the sleeping."""

import json
import socket
import threading

import pytest
from made_records import dead_process
from tracked import begin, start_run

from hooktune.errors import ClaimLostError, HooktuneError
from hooktune.processes import describe_process
from hooktune.tracking import Iteration, Tracker, claims
from hooktune.tracking.claims import CLAIM_PREFIX, Claims


@pytest.fixture
def iteration(tracker: Tracker) -> Iteration:
    return begin(tracker)


@pytest.fixture
def mine(tracker: Tracker, iteration: Iteration) -> Claims:
    return tracker.claims(iteration)


@pytest.fixture
def theirs(store_uri: str, iteration: Iteration) -> Claims:
    return Tracker(store_uri).claims(iteration)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The seconds that have gone by, as claims see them."""
    seconds = [0.0]
    monkeypatch.setattr(claims, "_now", lambda: seconds[0])
    return seconds


def claim_tags(tracker: Tracker, iteration: Iteration) -> list[str]:
    tags = tracker.client.get_experiment(iteration.experiment_id).tags
    return [tag for tag in tags if tag.startswith(CLAIM_PREFIX)]


def leave_claim(tracker: Tracker, iteration: Iteration, key: str, **process: object) -> None:
    """Leaves the claim of a process that is like this one but for what is given."""
    text = json.dumps({"process": json.loads(describe_process()) | process})
    tracker.client.set_experiment_tag(iteration.experiment_id, f"{CLAIM_PREFIX}{key}.other", text)


def test_a_key_is_held_by_one_until_it_is_released(tracker, iteration, mine, theirs):
    with mine.try_claim("a"):
        assert theirs.try_claim("a") is None
        with theirs.try_claim("b"):
            assert mine.is_claimed("b")
    with theirs.try_claim("a"):
        assert mine.try_claim("a") is None
    assert claim_tags(tracker, iteration) == []


def test_of_many_at_once_one_holds_a_key(store_uri: str, tracker, iteration):
    """Those who wait for a key come one after the other."""
    inside, most, turns = [0], [0], [0]

    def take_a_turn() -> None:
        with Tracker(store_uri).claims(iteration).claimed("a"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            turns[0] += 1
            inside[0] -= 1

    threads = [threading.Thread(target=take_a_turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most[0], turns[0]) == (1, 4)
    assert claim_tags(tracker, iteration) == []


def test_the_claim_of_a_dead_process_of_this_machine_holds_nobody_up(tracker, iteration, mine):
    leave_claim(tracker, iteration, "a", **dead_process())
    with mine.try_claim("a"):
        assert len(claim_tags(tracker, iteration)) == 1


def test_the_claim_of_another_machine_lapses_when_it_is_not_renewed(
    tracker, iteration, mine, clock
):
    leave_claim(tracker, iteration, "a", host="far")
    for _ in range(8):
        clock[0] += 15
        assert mine.try_claim("a") is None
    clock[0] += 15
    leave_claim(tracker, iteration, "a", host="far", renewed=True)
    assert mine.try_claim("a") is None, "it was renewed in the last moment"
    for _ in range(8):
        clock[0] += 15
        assert mine.is_claimed("a")
    clock[0] += 15
    with mine.try_claim("a") as claim:
        claim.renew()


def test_a_machine_of_the_same_name_is_waited_for(tracker, iteration, mine, clock):
    """Clones of one image differ from each other by their boots alone."""
    leave_claim(tracker, iteration, "a", pid=2**22 + 1, began="the boot of a clone 4242")
    mine.sweep()
    for _ in range(8):
        clock[0] += 15
        assert mine.try_claim("a") is None
    for _ in range(2):
        clock[0] += 15
        mine.is_claimed("a")
    with mine.try_claim("a"):
        assert len(claim_tags(tracker, iteration)) == 1


@pytest.mark.parametrize("fault", ["the store is away", "the store refuses"])
def test_a_claim_that_its_process_gave_up_and_could_not_remove_holds_nobody_up(
    fault: str, tracker, iteration, mine, monkeypatch
):
    def refuse(*_: object) -> None:
        raise HooktuneError("The tracking store refuses this user the right EDIT.")

    with monkeypatch.context() as patch, mine.try_claim("a"):
        if fault == "the store is away":
            patch.setattr(claims, "answers", lambda uri: False)
        patch.setattr(tracker.client, "delete_experiment_tag", refuse)
    assert len(claim_tags(tracker, iteration)) == 1
    with mine.try_claim("a"):
        assert len(claim_tags(tracker, iteration)) == 1
    assert claim_tags(tracker, iteration) == []


def test_the_watcher_s_own_sleep_makes_no_claim_stale(tracker, iteration, mine, clock):
    leave_claim(tracker, iteration, "a", host=socket.gethostname(), pid_space="another container")
    for _ in range(5):
        clock[0] += 3600
        assert mine.try_claim("a") is None


def test_who_was_taken_for_dead_notices_and_takes_nothing_back(tracker, iteration, mine, clock):
    with mine.try_claim("a") as claim:
        claim.check()
        for tag in claim_tags(tracker, iteration):
            tracker.client.delete_experiment_tag(iteration.experiment_id, tag)
        leave_claim(tracker, iteration, "a", host="far")
        with pytest.raises(ClaimLostError, match="took over"):
            claim.renew()
        with pytest.raises(ClaimLostError):
            claim.check()
    assert claim_tags(tracker, iteration) == [f"{CLAIM_PREFIX}a.other"]


def test_a_renewal_that_took_too_long_is_looked_after(tracker, iteration, mine, clock, monkeypatch):
    """The tag went between the look and the new tag: a server that was away in between."""
    set_tag = tracker.client.set_experiment_tag
    with mine.try_claim("a") as claim:
        (own,) = claim_tags(tracker, iteration)

        def slowly(*args: str) -> None:
            clock[0] += 300
            tracker.client.delete_experiment_tag(iteration.experiment_id, own)
            set_tag(iteration.experiment_id, f"{CLAIM_PREFIX}a.other", "{}")
            set_tag(*args)

        monkeypatch.setattr(tracker.client, "set_experiment_tag", slowly)
        with pytest.raises(ClaimLostError):
            claim.renew()
    assert claim_tags(tracker, iteration) == [f"{CLAIM_PREFIX}a.other"]


def test_a_store_that_is_away_is_a_warning(tracker, iteration, mine, monkeypatch, caplog):
    monkeypatch.setattr(claims, "RENEWED_EVERY", 0.01)
    called = threading.Event()

    def fail(*_: str) -> None:
        called.set()
        raise OSError("no route to host")

    with mine.try_claim("a") as claim:
        with monkeypatch.context() as patch:
            patch.setattr(tracker.client, "set_experiment_tag", fail)
            assert called.wait(10)
            claim.confirm()
        claim.renew()
        claim.check()
    assert "cannot be told now that this process lives: no route to host" in caplog.text
    assert claim_tags(tracker, iteration) == []


def test_who_slept_while_another_took_the_run_writes_no_points_to_it(
    tracker, iteration, mine, clock
):
    run = start_run(tracker, iteration, 0.1)
    with mine.try_claim("a") as claim:
        log = tracker.metric_log(run, check=claim.check_before_writing)
        log.add({"train_loss": 0.5}, 1)
        log.flush()
        clock[0] += 200
        for tag in claim_tags(tracker, iteration):
            tracker.client.delete_experiment_tag(iteration.experiment_id, tag)
        leave_claim(tracker, iteration, "a", host="far")
        log.add({"train_loss": 0.4}, 2)
        log.close()
    assert isinstance(log.error, ClaimLostError)
    assert tracker.metric_history(run, "train_loss") == [(1, 0.5)]


def test_who_slept_and_was_not_missed_writes_on(tracker, iteration, mine, clock):
    run = start_run(tracker, iteration, 0.1)
    with mine.try_claim("a") as claim:
        log = tracker.metric_log(run, check=claim.check_before_writing)
        clock[0] += 200
        log.add({"train_loss": 0.5}, 1)
        log.close()
    assert log.error is None
    assert tracker.metric_history(run, "train_loss") == [(1, 0.5)]
