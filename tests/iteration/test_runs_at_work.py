import pytest
from tracked import begin, do_run, start_run

from hooktune.cli.follow import duration, progress_table
from hooktune.iteration.runs_at_work import RecordedSteps, iteration_at_work, runs_at_work
from hooktune.progress import StepReporter
from hooktune.tracking import Tracker


def test_runs_tell_their_step_loss_and_time_left(store_uri, monkeypatch):
    monkeypatch.setenv("HOOKTUNE_WORKER", "2")
    tracker = Tracker(store_uri)
    assert iteration_at_work(tracker) is None
    iteration = begin(tracker)
    do_run(tracker, iteration, 0.1, "done")
    running = start_run(tracker, iteration, None, "running")
    RecordedSteps(StepReporter("run 2/2"), lambda tags: tracker.tag(running, tags)).expect(200)
    log = tracker.metric_log(running)
    log.add({"sliding_train_loss": 0.7}, step=40)
    log.add({"sliding_train_loss": 0.5}, step=50)
    log.close()
    (point,) = [
        each
        for each in tracker.client.get_metric_history(running.run_id, "sliding_train_loss")
        if each.step == 50
    ]
    seconds = (point.timestamp - running.started_at) / 1000
    done, at_work = runs_at_work(tracker, iteration, point.timestamp / 1000)
    assert (done.status, done.seconds_left, done.step) == ("FINISHED", None, None)
    assert (at_work.step, at_work.steps, at_work.loss) == (50, 200, 0.5)
    assert at_work.worker.startswith("worker 2 on ")
    assert at_work.seconds == pytest.approx(seconds, abs=0.01)
    assert at_work.seconds_left == pytest.approx(3 * seconds, abs=0.01)
    assert "50 of 200" in progress_table([done, at_work]).render()

    other = begin(tracker, 2)
    assert iteration_at_work(tracker).name == iteration.name
    tracker.end_run(running, "KILLED")
    assert iteration_at_work(tracker).name == other.name


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_times_are_written_as_people_do(seconds, words):
    assert duration(seconds) == words
