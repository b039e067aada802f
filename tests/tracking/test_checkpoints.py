"""The checkpoints of a run: one whole one at any moment, and none once the run has ended."""

from pathlib import Path

import pytest
import torch
from tracked import begin, start_run

from hooktune.contract.checkpoint import Checkpoint
from hooktune.tracking import RunRecord, Tracker
from hooktune.tracking.checkpoints import Checkpoints


@pytest.fixture
def run(tracker: Tracker) -> RunRecord:
    return start_run(tracker, begin(tracker), 0.1)


@pytest.fixture
def kept(tracker: Tracker, run: RunRecord) -> Checkpoints:
    return tracker.checkpoints(run, every=0)


def at(step: int) -> Checkpoint:
    return Checkpoint(step, {"weights": torch.full((3,), float(step))}, {"seen": [step, 0.1]})


def folders(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("mlruns/*/*/artifacts/checkpoint/*"))


def again(tracker: Tracker, run: RunRecord) -> Checkpoint | None:
    """What a later process reads."""
    return tracker.checkpoints(tracker.run(run.run_id), every=0).read()


def test_the_newest_one_is_kept_and_read(tracker, run, kept, tmp_path: Path):
    assert kept.read() is None
    for step in (9, 10, 200):
        kept.write(at(step))
        assert len(folders(tmp_path)) == 1
    assert {path.suffix for path in folders(tmp_path)[0].iterdir()} == {".json", ".safetensors"}
    found = again(tracker, run)
    assert (found.step, found.facts) == (200, {"seen": [200, 0.1]})
    torch.testing.assert_close(found.tensors["weights"], torch.full((3,), 200.0))


@pytest.mark.parametrize("file", ["tensors.safetensors", "facts.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["cut", "missing"])
def test_one_that_is_not_whole_is_passed_over(
    tracker, run, kept, tmp_path: Path, monkeypatch, file: str, harm: str
):
    kept.write(at(1))
    with monkeypatch.context() as patch:  # as if the process died before the old one was deleted
        patch.setattr(kept, "_names", lambda: [])
        kept.write(at(2))
    _first, second = folders(tmp_path)
    if harm == "cut":
        (second / file).write_bytes((second / file).read_bytes()[:-1])
    else:
        (second / file).unlink()
    assert again(tracker, run).step == 1
    kept.write(at(3))
    assert [path.name for path in folders(tmp_path)] == ["000000000003"]


def test_it_goes_when_the_run_ends(tracker, run, kept, tmp_path: Path):
    kept.write(at(1))
    ended = tracker.end_run(run, "KILLED", "interrupted")
    assert folders(tmp_path) == []
    assert "hooktune.checkpoint" not in ended.tags


def test_a_store_that_takes_none_is_a_warning(kept, monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(kept._client, "log_artifacts", fail)
    kept.write(at(1))
    assert "could be stored now: no space left on device" in caplog.text


def test_the_next_one_is_due_after_some_seconds(tracker, run):
    assert tracker.checkpoints(run, every=0).is_due()
    assert not tracker.checkpoints(run, every=1000).is_due()
