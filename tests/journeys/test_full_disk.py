"""A disk that is full at the worst moment: the run FAILED, and nothing that was there is lost."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from warm_python import run_python

from hooktune import Runner
from hooktune.errors import HooktuneError

MEGABYTE = 1 << 20
FILLER = "filler"

# Moves all similarities up: a greater push gives a better model. May fill a disk at the end.
PUSHER = """
from typing import Annotated
import torch
from pydantic import BaseModel
from hooktune import hookimpl

NAME = "Pusher"


class Params(BaseModel):
    push: float = 0.1
    fill: str = ""


@hookimpl
def upload_initial_model(settings):
    from sentence_transformers import SentenceTransformer
    return SentenceTransformer(settings.initial_model, device=settings.device)


@hookimpl
def hyper_parameters():
    return Params


@hookimpl
def fit_batch(run, model, params):
    run.log({"train_loss": 1.0}, 1)
    with torch.no_grad():
        model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += params.push
    if params.fill:
        with open(params.fill, "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
    return model
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path, int], Path]]:
    """Makes a disk of a few megabytes at a path; returns the file that can fill it."""
    mounted: list[Path] = []

    def make(at: Path, megabytes: int = 4) -> Path:
        at.mkdir(exist_ok=True)
        if os.geteuid() != 0:
            pytest.skip("only root may mount a small disk")
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(at)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        mounted.append(at)
        return at / FILLER

    yield make
    for at in mounted:
        subprocess.run(["umount", "-l", str(at)], check=True)


@pytest.fixture
def method(tmp_path: Path) -> Path:
    file = tmp_path / "pusher.py"
    file.write_text(PUSHER)
    return file


@pytest.fixture
def run(store_uri: str, method: Path, make_batch, tiny_model_folder: Path):
    """Does one run; returns what the iteration came to."""
    batch = make_batch()

    def run(push: float, fill: object = ""):
        return Runner(store_uri).run(
            str(method),
            batch,
            max_runs=1,
            params={"push": push, "fill": str(fill)},
            initial_model=str(tiny_model_folder),
            device="cpu",
        )

    return run


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and path.name != FILLER}


def test_a_better_model_for_which_there_is_no_room_fails_its_run(
    run, small_disk, tmp_path: Path, store_uri: str
):
    artifacts = tmp_path / "mlruns"
    filler = small_disk(artifacts)
    first = run(0.1)
    before = files_in(artifacts)
    second = run(0.5, filler)

    failed = second.runs[1]
    assert failed.status == "FAILED"
    assert "No space is left on the disk" in failed.failure
    assert failed.metrics["test_not_irrelevant_dist_shift"] > 0
    assert second.best.run_id == first.best.run_id
    assert second.load_model("cpu").encode("apple").shape == (32,)
    experiment = [second.iteration.experiment_id]
    models = MlflowClient(store_uri).search_logged_models(experiment)
    assert [each.source_run_id for each in models] == [first.best.run_id]
    new = files_in(artifacts) - before
    assert not [path for path in new if "models" in path.parts]

    filler.unlink()
    third = run(0.5)
    assert third.best == third.runs[2]
    assert third.load_model("cpu").encode("apple").shape == (32,)


def test_a_full_folder_of_temporary_files_fails_the_run(
    run, small_disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scratch = tmp_path / "scratch"
    filler = small_disk(scratch)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    first = run(0.1)
    second = run(0.5, filler)

    assert second.runs[1].status == "FAILED"
    assert "No space is left on the disk" in second.runs[1].failure
    assert second.best.run_id == first.best.run_id
    assert second.load_model("cpu").encode("apple").shape == (32,)
    filler.unlink()
    assert files_in(scratch) - {scratch / FILLER} <= set(scratch.glob("*.lock")) | set(
        scratch.glob("db_init_lock-*")
    )
    assert run(0.5).best.params["push"] == 0.5


def test_a_full_disk_of_the_database_is_told_and_loses_nothing(
    small_disk, method: Path, make_batch, tiny_model_folder: Path, empty_store: Path, tmp_path: Path
):
    disk = tmp_path / "disk"
    filler = small_disk(disk, 8)
    store = disk / "mlflow.db"
    store.write_bytes(empty_store.read_bytes())
    runner, batch = Runner(f"sqlite:///{store}"), make_batch()
    choices = {"max_runs": 1, "initial_model": str(tiny_model_folder), "device": "cpu"}
    first = runner.run(str(method), batch, params={"push": 0.1}, **choices)
    # In a process of its own, whose end tells that its run will never end.
    full = run_python(
        "-m", "hooktune", "--tracking-uri", f"sqlite:///{store}", "run", method, batch,
        "--max-runs", 1, "--device", "cpu", "--param", "push=0.5", "--param", f"fill={filler}",
    )  # fmt: skip
    assert full.returncode == 1
    assert "No space is left on the disk" in full.stderr
    assert "Traceback" not in full.stderr
    filler.unlink()

    (iteration,) = runner.tracker.iterations()
    assert runner.tracker.best(iteration) == first.best
    assert first.load_model("cpu").encode("apple").shape == (32,)
    last = runner.run(str(method), batch, params={"push": 0.5}, **choices)
    assert last.best.params["push"] == 0.5
    assert not any(run.status == "RUNNING" for run in last.runs)


def test_an_export_and_a_release_to_a_full_disk_leave_nothing_behind(
    run, small_disk, write_log, tmp_path: Path
):
    from hooktune.iteration.log_release import release_batch

    disk = tmp_path / "disk"
    filler = small_disk(disk, 1)
    result = run(0.1)
    filler.write_bytes(bytes(MEGABYTE - 64 * 1024))
    with pytest.raises((OSError, HooktuneError), match="No space left"):
        Runner(result.tracking_uri).tracker.export_model(result.best, disk / "model")
    log, items = write_log(1, sessions=20_000)
    with pytest.raises(HooktuneError, match="No space left"):
        release_batch(log, items, disk / "batch")
    assert [path.name for path in disk.iterdir()] == [FILLER]
