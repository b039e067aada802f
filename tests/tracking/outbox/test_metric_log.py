"""Metric points, written in batches beside the training, to a store that may be away."""

import itertools
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import requests
from tracked import begin

from hooktune.tracking import Tracker, outage
from hooktune.tracking.outage import write_points
from hooktune.tracking.outbox import metric_log
from hooktune.tracking.outbox.metric_log import MetricLog
from hooktune.tracking.outbox.spool import RunSpool


@pytest.fixture
def spool(tmp_path: Path) -> RunSpool:
    return RunSpool(tmp_path / "spool" / "some run", "http://some.store")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outage, "pauses", lambda: itertools.repeat(0.02))
    monkeypatch.setattr(metric_log, "_WAIT_FOR_MORE", 0.05)


def test_points_keep_their_true_steps_and_the_last_one_at_a_step_counts(tracker: Tracker):
    iteration = begin(tracker)
    run = tracker.start_run(iteration, "", "", {}, {}, {})
    log = tracker.metric_log(run)
    for step in (3, 7, 2000):
        log.add({"train_loss": 1 / step}, step)
    log.add({"test_loss": 2.0}, 2000)
    log.add({"test_loss": 1.0}, 2000)
    log.add({"many " + str(number): 1.0 for number in range(1100)}, 1)
    log.close()
    log.close()

    history = tracker.client.get_metric_history(run.run_id, "train_loss")
    assert [(each.step, each.value) for each in history] == [(3, 1 / 3), (7, 1 / 7), (2000, 5e-4)]
    assert log.error is None
    metrics = tracker.run(run.run_id).metrics
    assert metrics["test_loss"] == 1.0
    assert len(metrics) == 1102


class Store:
    """A store in memory that can be away, be slow, and refuse points."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self.is_there.set()
        self.refuses = 0
        self.calls: list[list] = []

    def __call__(self, points: list) -> None:
        if not self.is_there.is_set():
            raise requests.ConnectionError("nobody is there")
        if self.refuses:
            self.refuses -= 1
            raise OSError("the store is full")
        self.calls.append(points)

    @property
    def steps(self) -> list[int]:
        return [point.step for call in self.calls for point in call]


def log_steps(log: MetricLog, start: int, end: int) -> None:
    for step in range(start, end):
        log.add({"train_loss": 1.0}, step)


def test_the_training_never_waits_and_a_refusal_is_kept(spool: RunSpool, caplog):
    store = Store()
    store.refuses = 1
    log = MetricLog(store, spool)
    began = time.monotonic()
    log_steps(log, 0, 2500)
    assert time.monotonic() - began < 1
    log.close()

    assert len(store.steps) < 2500
    assert len(store.calls) <= 6
    assert str(log.error) == "the store is full"
    assert "metric points of run some run were not stored: the store is full" in caplog.text


def test_points_wait_in_memory_for_a_store_that_is_away(spool: RunSpool, caplog):
    store = Store()
    log = MetricLog(store, spool)
    log_steps(log, 0, 10)
    log.flush()
    store.is_there.clear()
    log_steps(log, 10, 2000)
    time.sleep(0.2)
    assert store.steps == list(range(10))
    assert not spool.folder.exists()
    store.is_there.set()
    log.close()

    assert store.steps == list(range(2000))
    assert log.error is None
    assert "the tracking store is away" in caplog.text
    assert "is back" in caplog.text


def test_what_memory_should_not_hold_goes_to_disk_and_order_is_kept(
    spool: RunSpool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(metric_log, "MOST_IN_MEMORY", 100)
    store = Store()
    store.is_there.clear()
    log = MetricLog(store, spool)
    log_steps(log, 0, 3000)
    deadline = time.monotonic() + 10
    while spool.is_empty and time.monotonic() < deadline:
        time.sleep(0.02)
    assert spool.has_points
    log_steps(log, 3000, 3050)
    store.is_there.set()
    log.close()

    assert store.steps == list(range(3050))
    assert not spool.folder.parent.exists()


def test_flushed_points_are_stored_or_on_disk(spool: RunSpool):
    store = Store()
    log = MetricLog(store, spool)
    log_steps(log, 0, 5)
    log.flush()
    assert store.steps == list(range(5))
    store.is_there.clear()
    log_steps(log, 5, 9)
    log.flush()
    assert [point.step for points in spool.points() for point in points] == [5, 6, 7, 8]
    log.close(patience=0)


def test_a_store_that_stays_away_is_given_up_and_a_later_process_delivers(spool: RunSpool):
    store = Store()
    store.is_there.clear()
    log = MetricLog(store, spool)
    log.add({"train_loss": 0.1, "odd": float("nan")}, 1)
    began = time.monotonic()
    log.close(patience=0.1)
    assert time.monotonic() - began < 5
    assert spool.has_points
    spool.release()
    with (spool.folder / "points.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n["train_loss", 0.2')  # a process died while it wrote this

    store.is_there.set()
    later = MetricLog(store, RunSpool(spool.folder))
    later.add({"train_loss": 0.3}, 3)
    later.close()
    (first, odd), last = store.calls[0], store.calls[-1][-1]
    assert (first.key, first.value, first.step) == ("train_loss", 0.1, 1)
    assert odd.value != odd.value
    assert last.step == 3
    assert len(store.steps) == 3


def test_a_point_whose_confirmation_was_lost_is_stored_once(tracker: Tracker, spool: RunSpool):
    run = tracker.start_run(begin(tracker), "", "", {}, {}, {})
    replies = iter([False, True])

    def write(points: list) -> None:
        write_points(tracker.client, run.run_id, points)
        if not next(replies, True):
            raise requests.Timeout("no answer")

    log = MetricLog(write, spool)
    log.add({"train_loss": 1.0, "odd": float("nan")}, 1)
    log.close()
    for name in ("train_loss", "odd"):
        assert len(tracker.client.get_metric_history(run.run_id, name)) == 1


def test_a_full_disk_is_told(spool: RunSpool, monkeypatch: pytest.MonkeyPatch):
    def refuse(_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(spool, "add_points", refuse)
    store = Store()
    store.is_there.clear()
    log = MetricLog(store, spool)
    log_steps(log, 0, 3)
    with pytest.raises(Exception, match="no space left"):
        log.flush()
    store.is_there.set()
    log.close()
    assert store.steps == [0, 1, 2]


def test_calls_without_a_server_go_through_mlflow(tracker: Tracker):
    run = tracker.start_run(begin(tracker), "", "", {}, {}, {})
    log = MetricLog(partial(write_points, tracker.client, run.run_id), RunSpool(Path("unused")))
    log.add({"train_loss": 1.0}, 1)
    log.close()
    assert tracker.run(run.run_id).metrics == {"train_loss": 1.0}


def test_what_was_flushed_is_stored_and_later_points_carry_later_times(tracker: Tracker):
    iteration = begin(tracker)
    run = tracker.start_run(iteration, "", "", {}, {}, {})
    far = time.time_ns() // 1_000_000 + 10_000_000  # of a machine whose clock is fast
    log = tracker.metric_log(run, last_time=far)
    log.add({"train_loss": 1.0}, 1)
    log.flush()
    (point,) = tracker.client.get_metric_history(run.run_id, "train_loss")
    assert point.timestamp == log.last_time > far
    log.flush()
    log.close()
