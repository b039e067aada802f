"""The work of one iteration, with a method that tunes in no time."""

import json
from pathlib import Path
from threading import Event
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made_records import dead_process
from mlflow import MlflowClient
from pydantic import BaseModel

import hooktune_metrics
import hooktune_search
from hooktune import Runner, SearchRange, hookimpl
from hooktune.contract.collection_metrics import COLLECTION_RANKING_METRIC
from hooktune.contract.metric import JUDGED_METRIC, MainMetric
from hooktune.contract.settings import IterationSettings
from hooktune.data.release import open_batch
from hooktune.errors import RequestError, StoreAwayError
from hooktune.evaluation import baseline
from hooktune.evaluation.judged import JUDGED_FILE
from hooktune.evaluation.query_figures import query_figures_of
from hooktune.iteration.lead import run_iteration
from hooktune.iteration.request import Request
from hooktune.plugin.checks import Plugin
from hooktune.plugin.host import Host
from hooktune.processes import describe_process
from hooktune.progress import listening
from hooktune.testing import tiny_model
from hooktune.tracking import RunRecord, Tracker, outage
from hooktune.tracking.artifacts import read_artifact
from hooktune.tracking.models import files as models
from hooktune.tracking.models.uploading import upload_model
from hooktune.training.kept_embeddings import KeptEmbeddings

SHIFT = "test_not_irrelevant_dist_shift"


class Params(BaseModel):
    push: Annotated[float, SearchRange(0.1, 1.0)] = 0.5
    deed: str = "tune"


class Died(KeyboardInterrupt):
    """Stands for what no process lives to see."""


class Pusher:
    """Adds one constant to all embeddings, which moves all similarities up."""

    NAME = "Pusher"

    def __init__(self) -> None:
        self.stop = Event()
        self.trained = 0
        self.survive = False
        self.store_answers = True

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def hyper_parameters(self):
        return Params

    @hookimpl
    def fit_batch(self, run, model, batch, params):
        self.trained += 1
        run.log({"train_loss": 1.0}, 5)
        if params.deed == "fail":
            raise ValueError("cannot go on")
        if params.deed == "interrupt":
            raise KeyboardInterrupt
        if params.deed == "die" and not self.survive:
            raise Died
        if params.deed == "stop":
            self.stop.set()
        if params.deed == "cut":
            self.store_answers = False
        with torch.no_grad():
            model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += params.push
        return model


@pytest.fixture
def pusher() -> Pusher:
    return Pusher()


@pytest.fixture
def tracker(store_uri: str, tmp_path: Path) -> Tracker:
    return Tracker(store_uri, tmp_path / "spool")


@pytest.fixture
def work(tracker: Tracker, pusher: Pusher, make_batch):
    """Runs an iteration on the made-up batch of a seed."""
    method = Plugin("Pusher", "method", pusher, "pusher", "1.0")
    extensions = [
        Plugin("metrics", "extension", hooktune_metrics),
        Plugin("search", "extension", hooktune_search),
    ]

    def run(seed: int = 0, **asked):
        batch = open_batch(make_batch(seed))
        request = Request(**{"max_runs": 1, "device": "cpu", **asked})
        return run_iteration(tracker, Host(method, extensions), batch, request, pusher.stop)

    return run


def test_runs_are_done_and_tracked_and_the_best_is_kept(work, tracker: Tracker):
    result = work(max_runs=2)

    assert result.attempted == 3
    assert [run.status for run in result.runs] == ["FINISHED"] * 3
    assert result.iteration.improved
    assert result.best.metrics[SHIFT] == max(run.metrics[SHIFT] for run in result.runs) > 0
    assert [tracker.has_model(run) for run in result.runs].count(True) == 1
    assert {"train_loss", "mean_train_loss", "fit_seconds", "test_mrr"} <= set(result.best.metrics)
    assert result.best.tags["hooktune.plugin.Pusher"] == "pusher 1.0"
    artifacts = tracker.client.list_artifacts(result.best.run_id)
    assert "manifest.json" in [each.path for each in artifacts]


def test_each_run_keeps_what_it_measured_of_each_test_query(work, tracker: Tracker):
    result = work(max_runs=2)
    assert result.runs[-1].name == "average of 2 runs"
    for run in result.runs:
        figures = query_figures_of(tracker, run)
        assert {"test_ndcg_at_10", SHIFT, "test_dist_shift_gap"} <= set(figures.metrics)
        for name in figures.metrics:
            before, after, sessions, _ = figures.pairs(name)
            start = result.iteration.starting_metrics[name]
            assert np.average(before, weights=sessions) == pytest.approx(start, abs=1e-6)
            assert np.average(after, weights=sessions) == pytest.approx(run.metrics[name], abs=1e-6)
    with pytest.raises(RequestError, match="has kept no figures"):
        query_figures_of(tracker, tracker.run(result.iteration.starting_run))


def test_the_whole_collection_is_searched_when_a_run_ends(work, tracker: Tracker):
    result = work(max_runs=1)
    metrics, starting = result.runs[0].metrics, result.iteration.starting_metrics
    names = [name for name in starting if name.startswith("test_collection_")]
    assert len(names) == 4
    assert all(0 < starting[name] <= 1 and 0 < metrics[name] <= 1 for name in names)
    assert set(names) <= {*query_figures_of(tracker, result.runs[0]).metrics}
    decided = work(1, settings={"main_metric": "test_collection_recall_at_10"})
    assert decided.iteration.settings.main_metric.name in decided.runs[0].metrics


def test_judgements_measure_an_iteration_and_are_needed_to_go_on(
    tracker: Tracker, pusher: Pusher, make_batch, tmp_path: Path
):
    runner = Runner(tracker.tracking_uri, plugins=[pusher])
    batch = open_batch(make_batch())
    test = IterationSettings().split(batch.sessions).test
    query = batch.sessions.queries[int(batch.sessions.query_index[test[0]])].as_py()
    items = batch.object_ids[:15].to_pylist()
    file = tmp_path / "judgements.tsv"
    lines = [f"{asked}\t{item}\t1\n" for asked in (query, "asked by nobody") for item in items]
    file.write_text("".join(lines), encoding="utf-8")
    asked = {"max_runs": 1, "device": "cpu", "judgements": file}
    result = runner.run("Pusher", batch, main_metric=JUDGED_METRIC, guard=JUDGED_METRIC, **asked)
    assert result.iteration.starting_metrics[JUDGED_METRIC] > 0
    assert result.runs[0].metrics[JUDGED_METRIC] > 0
    assert len(result.iteration.settings.judgements) == 24
    assert result.runs[0].intervals[JUDGED_METRIC].queries == 2
    assert COLLECTION_RANKING_METRIC in result.runs[0].intervals
    kept = read_artifact(tracker.client, result.runs[0].run_id, JUDGED_FILE)
    table = pq.read_table(pa.BufferReader(kept)).to_pydict()
    assert table["query"] == [query, "asked by nobody"]
    found = np.mean(table["judged_ndcg_at_10.after"])
    assert found == pytest.approx(result.runs[0].metrics[JUDGED_METRIC])
    assert runner.run("Pusher", batch, **asked).attempted == 0

    file.write_text(lines[0], encoding="utf-8")
    with pytest.raises(RequestError, match=r"was begun with judgements .* Give the same file"):
        runner.run("Pusher", batch, **asked)
    with pytest.raises(RequestError, match="Give the same file again: --judgements"):
        runner.run("Pusher", batch, params={"push": 0.25}, device="cpu")
    with pytest.raises(RequestError, match="judged_ndcg_at_10 needs judgements"):
        runner.run("Pusher", make_batch(1), main_metric=JUDGED_METRIC, device="cpu")


def test_what_was_done_is_not_done_again(work, pusher: Pusher):
    first = work(max_runs=2)
    again = work(max_runs=2)
    more = work(max_runs=3)

    assert (again.attempted, more.attempted, pusher.trained) == (0, 2, 3)
    assert again.runs == first.runs == more.runs[:3]
    assert again.iteration == first.iteration


def test_what_the_starting_model_made_of_texts_serves_the_next_call(
    work, tmp_path: Path, monkeypatch
):
    first = work(params={"push": 0.3}, embeddings=tmp_path / "kept")

    def refuse(*_):
        raise AssertionError("a text was encoded again")

    # The model comes out of the store now, and is the same one.
    monkeypatch.setattr(KeptEmbeddings, "add", refuse)
    second = work(params={"push": 0.4}, embeddings=tmp_path / "kept")
    assert second.attempted == 1
    assert second.iteration.starting_metrics == pytest.approx(first.iteration.starting_metrics)


def test_a_failed_run_has_its_traceback_and_the_next_one_goes_on(work, tracker: Tracker):
    failed = work(params={"deed": "fail"})
    (run,) = failed.runs
    assert run.status == "FAILED"
    assert "cannot go on" in run.failure
    artifacts = [each.path for each in tracker.client.list_artifacts(run.run_id)]
    assert "traceback.txt" in artifacts
    assert failed.best is None
    assert failed.iteration.finished_at is None

    result = work()
    assert [run.status for run in result.runs] == ["FAILED", "FINISHED"]
    assert result.best == result.runs[1]


def test_an_interrupted_run_is_killed_and_what_it_tracked_stays(work, tracker: Tracker):
    with pytest.raises(KeyboardInterrupt):
        work(params={"deed": "interrupt"})
    (iteration,) = tracker.iterations()
    (run,) = tracker.runs(iteration)
    assert run.status == "KILLED"
    assert run.metrics["train_loss"] == 1.0
    assert iteration.finished_at is None


@pytest.mark.parametrize("call", ["create_run", "log_batch", "delete_experiment_tag"])
def test_a_run_that_is_interrupted_while_it_begins_is_killed(
    call: str, work, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
):
    wrapped = getattr(MlflowClient, call)

    def interrupt(*given, **named):
        wrapped(*given, **named)
        if any(tracker.runs(iteration) for iteration in tracker.iterations()):
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(MlflowClient, call, interrupt)
    with pytest.raises(KeyboardInterrupt):
        work()
    (iteration,) = tracker.iterations()
    assert [run.status for run in tracker.runs(iteration)] == ["KILLED"]


def test_a_run_that_is_asked_to_stop_is_killed_and_no_other_begins(work):
    result = work(max_runs=3, params={"deed": "stop"})
    assert [run.status for run in result.runs] == ["KILLED"]
    assert result.best is None
    assert result.iteration.finished_at is None


def test_the_next_batch_starts_from_the_best_model_and_its_hyper_parameters(work, tracker: Tracker):
    first = work(0, params={"push": 0.7})
    second = work(1)

    assert second.iteration.starting_run == first.best.run_id
    assert second.runs[0].params["push"] == 0.7
    assert not tracker.has_model(first.best)
    with pytest.raises(RequestError, match="was deleted when a better one replaced it"):
        work(1, params={"push": 0.2})


def test_an_iteration_that_improves_nothing_is_said_to(work, tracker: Tracker):
    first = work(0)
    second = work(1, params={"push": 0.0})
    assert second.best is None
    assert second.iteration.improved is False
    assert tracker.has_model(first.best)
    assert work(2).iteration.starting_run == first.best.run_id


def test_a_main_metric_that_nobody_computes_is_refused(work):
    with pytest.raises(RequestError, match=r"main metric 'test_x' on this.*test_mrr"):
        work(settings={"main_metric": MainMetric("test_x")})


def test_a_guard_that_nobody_computes_for_each_session_is_refused(work, tracker: Tracker):
    with pytest.raises(RequestError, match=r"'test_x' for each session.*test_mrr"):
        work(settings={"guard": ["test_x"]})
    assert tracker.iterations() == []


class MoreParams(Params):
    margin: float = 0.1


class Grown(Pusher):
    """The next version of the method, with one hyper-parameter more."""

    @hookimpl
    def hyper_parameters(self):
        return MoreParams


def test_runs_are_known_once_the_method_has_a_hyper_parameter_more(work, tracker, make_batch):
    done = work(params={"push": 0.3})
    host = Host(
        Plugin("Pusher", "method", Grown()), [Plugin("metrics", "extension", hooktune_metrics)]
    )
    request = Request(max_runs=1, device="cpu", params={"push": 0.3})
    again = run_iteration(tracker, host, open_batch(make_batch()), request, Event())
    assert again.attempted == 0
    assert [run.run_id for run in again.runs] == [run.run_id for run in done.runs]
    request = Request(max_runs=1, device="cpu", params={"push": 0.3, "margin": 0.2})
    other = run_iteration(tracker, host, open_batch(make_batch()), request, Event())
    assert other.attempted == 1


def test_a_wrong_main_metric_is_refused_before_anything_is_encoded(work, monkeypatch):
    def encode(*given, **named):
        raise AssertionError("something was encoded")

    monkeypatch.setattr(baseline.Collection, "embed", encode)
    with pytest.raises(RequestError, match=r"'test_mrrr' .* Did you mean 'test_mrr'"):
        work(settings={"main_metric": "test_mrrr"})


class Losing(Pusher):
    """Moves all similarities up, and says that this is a loss."""

    sign = 1.0

    @hookimpl
    def fit_batch(self, run, model, batch, params):
        run.use_loss(lambda sessions, scores: self.sign * float(scores.mean()))
        return super().fit_batch(run, model, batch, params)


@pytest.mark.parametrize(("sign", "improved"), [(1.0, False), (-1.0, True)])
def test_the_starting_model_competes_by_the_loss(tracker, make_batch, sign, improved):
    method = Losing()
    method.sign = sign
    host = Host(
        Plugin("Losing", "method", method), [Plugin("metrics", "extension", hooktune_metrics)]
    )
    request = Request(max_runs=1, device="cpu", settings={"main_metric": "test_loss"})
    result = run_iteration(tracker, host, open_batch(make_batch()), request, Event())
    assert result.iteration.settings.main_metric == MainMetric("test_loss", False)
    (run,) = result.runs
    starting = result.iteration.starting_metrics_of(run)["test_loss"]
    assert (run.metrics["test_loss"] < starting) is improved
    assert result.iteration.improved is improved
    assert (result.best is not None) is improved


class Talker:
    """Computes more metrics than a store can keep."""

    @hookimpl
    def compute_metrics(self):
        return {f"a_rather_long_name_of_metric_{number}": 0.5 for number in range(200)}


def test_a_request_that_is_refused_leaves_no_trace(work, tracker: Tracker, pusher: Pusher):
    pusher.compute_metrics = Talker().compute_metrics
    for refused in (
        {},
        {"settings": {"main_metric": MainMetric("test_x")}},
        {"params": {"deed": "talk " * 2000}},
        {"start": "nonsense"},
    ):
        with pytest.raises(RequestError):
            work(**refused)
    assert tracker.client.search_experiments(filter_string="name LIKE 'iteration%'") == []


def test_a_model_that_waits_on_this_disk_is_delivered_to_start_from_it(
    work, tracker: Tracker, pusher: Pusher, monkeypatch
):
    monkeypatch.setattr(outage, "answers", lambda _: pusher.store_answers)
    monkeypatch.setattr(outage, "PATIENCE", 0.05)
    with pytest.raises(StoreAwayError):
        work(params={"deed": "cut"})
    pusher.store_answers = True
    (left,) = tracker.runs(tracker.iterations()[0])
    assert not tracker.has_model(left)

    assert work(1, start=left.run_id).iteration.starting_run == left.run_id


def test_what_begins_is_said_once(work, caplog: pytest.LogCaptureFixture):
    heard: list[str] = []
    caplog.set_level("INFO", "hooktune")
    with listening(lambda progress: heard.append(getattr(progress, "phase", ""))):
        work()
    assert "uploading the initial model of Pusher" in heard
    assert any("tracking store" in phase for phase in heard)
    for message in caplog.messages:
        assert not message.startswith(("uploading", "creating", "opening"))


def test_the_initial_model_of_another_process_is_taken_where_that_was_first(
    work, tracker: Tracker, pusher: Pusher
):
    others = []

    def upload_while_this_one_is_made(settings):
        if not others:
            far = json.loads(describe_process()) | {"host": "far"}
            others.append(tracker.upload_initial_model("Pusher", tiny_model(1), {}))
            tracker.tag(others[0], {"hooktune.process": json.dumps(far)})
        return tiny_model(settings.seed)

    pusher.upload_initial_model = hookimpl(upload_while_this_one_is_made)
    result = work()
    assert result.iteration.starting_run == others[0].run_id
    assert [run.status for run in result.runs] == ["FINISHED"]


def test_a_run_that_ranks_worse_carries_a_warning(work):
    result = work(max_runs=4, params={"push": 50.0})
    ranks_worse = (
        result.runs[0].metrics["test_ndcg_at_10"]
        < (result.iteration.starting_metrics["test_ndcg_at_10"])
    )
    assert bool(result.runs[0].warning) is ranks_worse


def die(work, tracker: Tracker, monkeypatch, **asked) -> RunRecord:
    """Leaves a run behind as a process does that is killed in the middle of it."""
    with monkeypatch.context() as patch:
        patch.setattr(tracker, "end_run", lambda *_: None)
        with pytest.raises(Died):
            work(**asked, params={"deed": "die"})
    (run,) = (run for run in tracker.runs(tracker.iterations()[0]) if run.status == "RUNNING")
    tracker.tag(run, {"hooktune.process": json.dumps(dead_process())})
    return run


def test_a_run_whose_process_died_is_gone_on_with(
    work, tracker: Tracker, pusher: Pusher, monkeypatch
):
    left = die(work, tracker, monkeypatch)
    pusher.survive = True
    result = work(params={"deed": "die"})
    (run,) = result.runs
    assert (run.run_id, run.status) == (left.run_id, "FINISHED")
    assert (result.best, result.attempted) == (run, 1)
    points = tracker.client.get_metric_history(run.run_id, "train_loss")
    assert [point.step for point in points] == [5], "no point is stored twice"
    assert run.tags["hooktune.process"] == describe_process()


def test_a_dead_run_that_nobody_asks_for_is_ended(work, tracker: Tracker, monkeypatch):
    left = die(work, tracker, monkeypatch)
    result = work()
    assert [(run.run_id == left.run_id, run.status) for run in result.runs] == [
        (True, "KILLED"),
        (False, "FINISHED"),
    ]


def test_a_dead_run_whose_model_is_whole_is_only_ended(
    work, tracker: Tracker, pusher: Pusher, monkeypatch
):
    left = die(work, tracker, monkeypatch)
    iteration = tracker.iterations()[0]
    tracker.client.log_metric(left.run_id, SHIFT, 1.0)
    half = tracker.client.create_logged_model(
        iteration.experiment_id, name="model", source_run_id=left.run_id
    )
    upload_model(tracker.client, left, tiny_model())
    trained = pusher.trained
    result = work(params={"deed": "die"})
    assert (result.best.run_id, result.best.status) == (left.run_id, "FINISHED")
    assert pusher.trained == trained
    assert models.find_model(tracker.client, half.model_id) is None
