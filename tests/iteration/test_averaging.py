"""The average of an iteration's runs: made of their weights, measured, and kept if it is best."""

import json
from pathlib import Path
from threading import Event
from typing import Annotated

import pytest
import torch
from made_records import dead_process
from pydantic import BaseModel
from tracked import model_folders

import hooktune_metrics
import hooktune_search
from hooktune import SearchRange, hookimpl
from hooktune.data.release import open_batch
from hooktune.iteration import averaging
from hooktune.iteration.averaging import can_be_averaged
from hooktune.iteration.lead import run_iteration
from hooktune.iteration.request import Request
from hooktune.plugin.checks import Plugin
from hooktune.plugin.host import Host
from hooktune.testing import tiny_model
from hooktune.tracking import RunRecord, Tracker
from hooktune.tracking.models import kept_weights

BIAS = "encoder.layer.1.output.LayerNorm.bias"


class Params(BaseModel):
    push: Annotated[float, SearchRange(0.1, 1.0)] = 0.5
    width: int = 0


class Pusher:
    """Adds one constant to all embeddings, which moves all similarities up, and may cut them."""

    def __init__(self) -> None:
        self.trained = 0

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def hyper_parameters(self):
        return Params

    @hookimpl
    def fit_batch(self, run, model, params):
        self.trained += 1
        with torch.no_grad():
            model[0].model.get_parameter(BIAS).add_(params.push)
        # Random draws differ in push alone, so that these are of different widths.
        model.truncate_dim = 8 + int(params.push * 16) if params.width else None
        return model


class Died(BaseException):
    """Stands for what no process lives to see."""


@pytest.fixture
def tracker(store_uri: str, tmp_path: Path) -> Tracker:
    return Tracker(store_uri, tmp_path / "spool")


@pytest.fixture
def pusher() -> Pusher:
    return Pusher()


@pytest.fixture
def work(tracker: Tracker, pusher: Pusher, make_batch):
    method = Plugin("Pusher", "method", pusher, "pusher", "1.0")
    extensions = [
        Plugin("metrics", "extension", hooktune_metrics),
        Plugin("search", "extension", hooktune_search),
    ]

    def run(max_runs: int, seed: int = 0, **asked):
        request = Request(max_runs=max_runs, device="cpu", **asked)
        host = Host(method, extensions)
        return run_iteration(tracker, host, open_batch(make_batch(seed)), request, Event())

    return run


def kept_files(tracker: Tracker) -> list[Path]:
    root = model_folders(tracker)[0].parents[2]
    return [path for path in root.rglob("*") if path.is_file() and "weights" in path.parts]


def bias_of(model) -> torch.Tensor:
    return model[0].model.get_parameter(BIAS)


def test_the_average_of_all_runs_is_a_run_of_its_own(
    work, tracker: Tracker, pusher: Pusher, monkeypatch
):
    models = []
    monkeypatch.setattr(averaging, "load_folder", lambda *a: models.append(load(*a)) or models[-1])
    result = work(2)
    *trained, average = result.runs
    assert (average.name, average.status) == ("average of 2 runs", "FINISHED")
    assert average.average_of == tuple(run.run_id for run in trained)
    assert (average.params, pusher.trained, result.attempted) == ({}, 2, 3)
    assert average.metrics["fit_seconds"] == sum(run.metrics["fit_seconds"] for run in trained)
    assert average.metrics.keys() == trained[0].metrics.keys()
    assert average.intervals.keys() == trained[0].intervals.keys()

    start = bias_of(tracker.load_model(tracker.run(result.iteration.starting_run), "cpu"))
    pushed = [start + run.params["push"] for run in trained]
    mean = ((pushed[0].double() + pushed[1].double()) / 2).float()
    assert torch.equal(bias_of(models[0]), mean)
    assert kept_files(tracker) == []
    assert not any(kept_weights.WEIGHTS_TAG in run.tags for run in result.runs)


load = averaging.load_folder


def test_an_average_stands_and_leads_to_no_hyper_parameters(work, pusher: Pusher):
    first = work(2)
    assert work(2).runs == first.runs
    second = work(3, 1)
    assert all("push" in run.params for run in second.runs if not run.average_of)


def test_more_runs_get_an_average_of_their_own(work, tracker: Tracker):
    first = work(2)
    more = work(3)
    assert more.runs[:3] == first.runs
    *_, trained, average = more.runs
    kept = first.best.average_of or (first.best.run_id,)
    assert {*average.average_of} == {*kept, trained.run_id}
    assert average.name == f"average of {len(kept) + 1} runs"
    assert kept_files(tracker) == []


def test_an_average_that_is_kept_counts_as_the_runs_that_it_is_of(work, tracker: Tracker):
    # The one with the lowest value is best: between the others that is never so.
    first = work(2)
    average = first.runs[-1]
    tracker.client.set_experiment_tag(first.iteration.experiment_id, "hooktune.best_run", "")
    from hooktune.tracking.models.uploading import upload_model

    upload_model(tracker.client, average, tracker.load_model(first.best, "cpu"))
    tracker.client.set_experiment_tag(
        first.iteration.experiment_id, "hooktune.best_run", average.run_id
    )
    more = work(3)
    assert more.runs[-1].name == "average of 3 runs"


def test_a_single_run_has_no_average_and_keeps_no_weights(work, tracker: Tracker, monkeypatch):
    def refuse(*_):
        raise AssertionError("weights were kept")

    monkeypatch.setattr(averaging, "keep_weights", refuse)
    assert len(work(1).runs) == 1


def test_models_that_differ_in_shape_have_none_and_it_is_said(
    work, tracker: Tracker, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "hooktune")
    result = work(2, params={"width": 1})
    assert len(result.runs) == 2
    assert any("there is no average of 2 runs" in message for message in caplog.messages)
    assert kept_files(tracker) == []


def test_weights_that_cannot_be_kept_cost_the_average_alone(
    work, tracker: Tracker, monkeypatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(kept_weights, "MOST_BYTES", 100)
    result = work(2)
    assert [run.status for run in result.runs] == ["FINISHED"] * 2
    assert "takes no part in the average of runs" in caplog.text


def test_weights_that_were_changed_are_told(work, tracker: Tracker, monkeypatch, caplog):
    def keep(client, run, folder):
        kept_weights.keep_weights(client, run, folder)
        (file,) = (
            path
            for path in kept_files(tracker)
            if run.run_id in path.parts and path.suffix == ".safetensors"
        )
        file.write_bytes(b"other weights")

    monkeypatch.setattr(averaging, "keep_weights", keep)
    assert len(work(2).runs) == 2
    assert "is not the file that was uploaded" in caplog.text
    assert kept_files(tracker) == []


@pytest.mark.parametrize("step", ["write_mean", "_forget_all"])
def test_a_process_that_dies_at_the_average_leaves_it_to_the_next_one(
    work, tracker: Tracker, pusher: Pusher, monkeypatch, step: str
):
    def die(*_):
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(averaging, step, die)
        with pytest.raises(Died):
            work(2)
    (iteration,) = tracker.iterations()
    assert can_be_averaged(tracker, iteration) is (step == "write_mean")
    result = work(2)
    assert [run.name for run in result.runs].count("average of 2 runs") == 1
    assert (len(result.runs), pusher.trained) == (3, 2)
    assert kept_files(tracker) == []


def abandon(work, tracker: Tracker, monkeypatch) -> RunRecord:
    """Leaves an average behind as a process does that is killed while it is measured."""
    end = tracker.end_run

    def end_or_die(run, *given):
        if run.average_of:
            raise Died
        return end(run, *given)

    with monkeypatch.context() as patch:
        patch.setattr(tracker, "end_run", end_or_die)
        patch.setattr(tracker, "keep_if_best", lambda run, *_: run.average_of == ())
        with pytest.raises(Died):
            work(2)
    (run,) = (run for run in tracker.runs(tracker.iterations()[0]) if run.average_of)
    assert run.status == "RUNNING"
    tracker.tag(run, {"hooktune.process": json.dumps(dead_process())})
    return run


def test_an_average_that_was_being_measured_is_gone_on_with(work, tracker: Tracker, monkeypatch):
    left = abandon(work, tracker, monkeypatch)
    result = work(2)
    assert [(run.run_id, run.status) for run in result.runs if run.average_of] == [
        (left.run_id, "FINISHED")
    ]


def test_an_average_that_was_being_measured_ends_where_another_is_made(
    work, tracker: Tracker, monkeypatch
):
    left = abandon(work, tracker, monkeypatch)
    averages = [run for run in work(3).runs if run.average_of]
    assert [(run.name, run.status) for run in averages] == [
        ("average of 2 runs", "KILLED"),
        ("average of 3 runs", "FINISHED"),
    ]
    assert averages[0].run_id == left.run_id
