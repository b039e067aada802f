"""Which points of a run that is gone on with are in the store already."""

import pytest
from tracked import begin

from hooktune.tracking import RunRecord, Tracker
from hooktune.tracking.stored_points import StoredPoints


@pytest.fixture
def run(tracker: Tracker) -> RunRecord:
    """A run that has logged two losses before its checkpoint, at 2, and one after it."""
    run = tracker.start_run(begin(tracker), "", "", {}, {}, {})
    for time, step in ((1, 1), (2, 2), (3, 3)):
        tracker.client.log_metric(run.run_id, "train_loss", 1 / step, timestamp=time, step=step)
    tracker.client.log_metric(run.run_id, "test_mrr", 0.5, timestamp=4, step=3)
    return tracker.run(run.run_id)


def test_all_points_come_again_where_nothing_was_kept(tracker: Tracker, run: RunRecord):
    stored = tracker.stored_points(run)
    assert stored.last_time == 4
    assert stored.new_ones({"train_loss": 1.0}, 1) == {}
    assert stored.new_ones({"train_loss": 0.5, "other": 2.0}, 2) == {"other": 2.0}
    assert stored.new_ones({"train_loss": 1 / 3, "test_mrr": 0.5}, 3) == {}
    assert stored.new_ones({"test_mrr": 0.6}, 3) == {"test_mrr": 0.6}, "a second one at a step"


def test_those_before_the_checkpoint_do_not_come_again(tracker: Tracker, run: RunRecord):
    stored = tracker.stored_points(run)
    stored.expect_after(2)
    assert stored.new_ones({"train_loss": 0.4}, 2) == {"train_loss": 0.4}
    assert stored.new_ones({"train_loss": 0.3}, 3) == {}


def test_how_far_the_points_have_come_again_is_told(tracker: Tracker, run: RunRecord):
    """What a second process keeps while it passes over points serves a third one."""
    second = tracker.stored_points(run)
    second.expect_after(1)
    assert second.passed_until == 1
    second.new_ones({"train_loss": 0.5}, 2)
    assert second.passed_until == 2
    third = tracker.stored_points(run)
    third.expect_after(second.passed_until)
    assert third.new_ones({"train_loss": 1 / 3, "test_mrr": 0.5}, 3) == {}
    assert third.passed_until is None


def test_a_run_without_points_has_none(tracker: Tracker):
    run = tracker.start_run(begin(tracker), "", "", {}, {}, {})
    stored = StoredPoints(tracker.client, run)
    assert stored.last_time == 0
    assert stored.new_ones({"train_loss": 1.0}, 1) == {"train_loss": 1.0}
