"""Several processes that deliver from one folder at once: each thing is brought once, by one."""

import json
import threading
from pathlib import Path
from typing import Final

import pytest
from tracked import begin, start_run

from hooktune.processes import FileLock, describe_process
from hooktune.tracking import RunRecord, Tracker, queries
from hooktune.tracking.claims import CLAIM_PREFIX
from hooktune.tracking.outbox import outbox
from hooktune.tracking.outbox.spool import End, LogText, RunSpool

OPERATIONS: Final = [
    LogText(text="what happened", file="notes.txt"),
    End(status="FINISHED", failure=None, at=1),
]


@pytest.fixture
def tracker(store_uri: str, tmp_path: Path) -> Tracker:
    return Tracker(store_uri, spool=tmp_path / "spool")


@pytest.fixture
def kept(tracker: Tracker) -> RunRecord:
    """A run whose end waits on disk."""
    return keep(tracker, start_run(tracker, begin(tracker), 0.2, "key"))


def keep(tracker: Tracker, run: RunRecord) -> RunRecord:
    spool = RunSpool(tracker.spool_folder / run.run_id)
    for operation in OPERATIONS:
        spool.add(operation)
    spool.release()
    return run


def another(tracker: Tracker) -> Tracker:
    return Tracker(tracker.tracking_uri, tracker.spool_folder)


def test_what_another_process_delivered_between_the_look_and_the_lock(
    tracker: Tracker, kept: RunRecord, monkeypatch: pytest.MonkeyPatch
):
    hold = RunSpool.hold

    def be_late(spool: RunSpool) -> bool:
        monkeypatch.setattr(RunSpool, "hold", hold)
        assert another(tracker).sync()[0].problem is None
        return spool.hold()

    monkeypatch.setattr(RunSpool, "hold", be_late)
    (late,) = tracker.sync()
    assert (late.problem, late.is_elsewhere) == ("another process delivers it", True)
    assert tracker.run(kept.run_id).status == "FINISHED"
    assert not tracker.spool_folder.exists()


def test_many_deliver_each_run_once(tracker: Tracker, kept: RunRecord):
    iteration = tracker.iterations()[0]
    runs = [kept, *(keep(tracker, start_run(tracker, iteration, 0.1, key)) for key in "abc")]
    together, delivered = threading.Barrier(4), []

    def deliver(of: Tracker) -> None:
        of.client.search_experiments()
        together.wait()
        delivered.extend(of.sync())

    threads = [threading.Thread(target=deliver, args=[another(tracker)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.run_id for each in delivered if each.problem is None) == sorted(
        run.run_id for run in runs
    )
    assert all(each.is_elsewhere for each in delivered if each.problem)
    assert {tracker.run(run.run_id).status for run in runs} == {"FINISHED"}
    assert not tracker.spool_folder.exists()
    experiment = tracker.client.get_experiment(iteration.experiment_id)
    assert not [tag for tag in experiment.tags if tag.startswith(CLAIM_PREFIX)]


def test_a_lock_on_a_file_that_was_removed_and_made_anew_is_none(tmp_path: Path, monkeypatch):
    path, opened = tmp_path / "lock", FileLock._open
    first, third = FileLock(path), FileLock(path)
    assert first.acquire(wait=False)

    def open_before_it_is_removed(lock: FileLock) -> int:
        monkeypatch.setattr(FileLock, "_open", opened)
        descriptor = opened(lock)
        path.unlink()
        first.release()
        assert third.acquire(wait=False)
        return descriptor

    monkeypatch.setattr(FileLock, "_open", open_before_it_is_removed)
    assert not FileLock(path).acquire(wait=False)
    third.release()


def test_a_folder_that_is_removed_while_something_is_put_in_is_made_again(
    tracker: Tracker, kept: RunRecord, monkeypatch: pytest.MonkeyPatch
):
    spool, hold = RunSpool(tracker.spool_folder / kept.run_id), RunSpool.hold

    def be_late(late: RunSpool) -> bool:
        monkeypatch.setattr(RunSpool, "hold", hold)
        other = RunSpool(spool.folder)
        assert other.hold()
        other.clear()
        return late.hold()

    monkeypatch.setattr(RunSpool, "hold", be_late)
    spool.add(OPERATIONS[0])
    spool.release()
    assert spool.operations() == OPERATIONS[:1]


def test_a_run_that_another_process_goes_on_with_is_left_to_it(tracker: Tracker, kept: RunRecord):
    claims = another(tracker).claims(tracker.iterations()[0])
    process = json.dumps(json.loads(describe_process()) | {"pid": 1})
    about = tracker.spool_folder / kept.run_id / "run.json"
    about.write_text(json.dumps({"process": process}), encoding="utf-8")
    with claims.try_claim("key"):
        (left,) = tracker.sync()
    assert (left.problem, left.is_elsewhere) == ("another process goes on with it", True)
    assert tracker.run(kept.run_id).status == "RUNNING"


def test_nobody_takes_a_run_over_while_it_is_delivered(
    tracker: Tracker, kept: RunRecord, monkeypatch: pytest.MonkeyPatch
):
    claims, taken = another(tracker).claims(tracker.iterations()[0]), []
    perform = outbox.perform

    def look(*given):
        taken.append(claims.try_claim("key"))
        return perform(*given)

    monkeypatch.setattr(outbox, "perform", look)
    assert tracker.sync()[0].problem is None
    assert taken == [None, None]


def test_the_claim_that_a_process_could_not_give_back_keeps_nobody_from_delivering(
    tracker: Tracker, kept: RunRecord
):
    """The process is alive and does other runs; it let go of the folder when it was away."""
    claim = json.dumps({"process": json.loads(describe_process())})
    tag = f"{CLAIM_PREFIX}key.1"
    tracker.client.set_experiment_tag(kept.experiment_id, tag, claim)
    assert tracker.sync()[0].problem is None
    assert (
        tag not in queries.find_experiment(tracker.client, str(tracker.iterations()[0].name)).tags
    )


def test_what_a_process_left_that_died_while_it_removed_it_is_removed(
    tracker: Tracker, kept: RunRecord, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hooktune.tracking.outbox.spool.shutil.rmtree", lambda *a, **k: None)
    assert tracker.sync()[0].problem is None
    assert len(list(tracker.spool_folder.iterdir())) == 1
    monkeypatch.undo()
    assert tracker.sync() == []
    assert list(tracker.spool_folder.iterdir()) == []
