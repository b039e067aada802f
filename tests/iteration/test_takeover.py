"""What becomes of runs whose process died: ended, or swept up after."""

import json
from pathlib import Path

import torch
from made_records import dead_process
from tracked import SHIFT, begin, start_run

from hooktune.contract.checkpoint import Checkpoint
from hooktune.iteration.takeover import end_dead_runs, sweep
from hooktune.processes import describe_process
from hooktune.tracking import Tracker


def test_a_run_of_a_dead_process_is_ended_and_others_are_not(tracker: Tracker):
    iteration = begin(tracker)
    alive, dead, elsewhere = (start_run(tracker, iteration, 0.1, key) for key in "abc")
    here = json.loads(describe_process())
    for run, process in ((dead, dead_process()), (elsewhere, here | {"host": "far"})):
        tracker.client.set_tag(run.run_id, "hooktune.process", json.dumps(process))
    end_dead_runs(tracker, iteration)
    assert [run.status for run in tracker.runs(iteration)] == ["RUNNING", "KILLED", "RUNNING"]
    assert tracker.run(dead.run_id).failure == "its process died"
    assert tracker.run(alive.run_id).metrics == {SHIFT: 0.1}


def test_the_checkpoint_of_an_ended_run_is_swept(tracker: Tracker, tmp_path: Path):
    iteration = begin(tracker)
    run = start_run(tracker, iteration, 0.1)
    tracker.checkpoints(run, every=0).write(Checkpoint(1, {"weights": torch.ones(1)}, {}))
    tracker.client.set_terminated(run.run_id, "FINISHED")
    sweep(tracker, iteration)
    assert not list(tmp_path.glob("mlruns/*/*/artifacts/checkpoint/*"))
    assert tracker.checkpoints(tracker.run(run.run_id), every=0).read() is None
