"""Metric points, written in batches beside the training."""

import threading
import time

import pytest
from tracked import begin

from hooktune.tracker import Tracker


@pytest.fixture
def tracker(store_uri: str) -> Tracker:
    return Tracker(store_uri)


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


class SlowStore:
    """A store that is at work until it is told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.calls: list[int] = []

    def log_batch(self, run_id: str, metrics: list) -> None:
        self.go_on.wait(30)
        self.calls.append(len(metrics))
        if len(self.calls) == 1:
            raise OSError("the store is full")


def test_the_training_never_waits_and_an_error_is_kept(caplog):
    from hooktune.tracker.metric_log import MetricLog

    store = SlowStore()
    log = MetricLog(store, "some run")  # type: ignore[arg-type]
    began = time.monotonic()
    for step in range(2500):
        log.add({"train_loss": 1.0}, step)
    assert time.monotonic() - began < 1
    store.go_on.set()
    log.close()

    assert sum(store.calls) == 2500
    assert len(store.calls) <= 6
    assert str(log.error) == "the store is full"
    assert "metric points of run some run were not stored: the store is full" in caplog.text


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
