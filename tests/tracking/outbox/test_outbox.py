"""What is recorded on runs while the store is away, and how it gets there later."""

import json
import pickle
from pathlib import Path

import pytest
import requests
from mlflow.entities import LoggedModelStatus
from tracked import SHIFT, begin, do_run, model_folders, runs_with_model, start_run

from hooktune.errors import StoreAwayError
from hooktune.processes import describe_process
from hooktune.testing import tiny_model
from hooktune.tracking import Iteration, RunRecord, Tracker, outage
from hooktune.tracking.outbox.spool import RunSpool
from hooktune.tracking.records import PROCESS_TAG, WARNING_TAG


class Network:
    """Lies between the tests and the store, and can be cut."""

    def __init__(self) -> None:
        self.is_up = True

    def answers(self, uri: str) -> bool:
        return self.is_up


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Network()
    monkeypatch.setattr(outage, "answers", made.answers)
    monkeypatch.setattr(outage, "PATIENCE", 0.05)
    return made


@pytest.fixture
def tracker(store_uri: str, tmp_path: Path, network: Network) -> Tracker:
    return Tracker(store_uri, spool=tmp_path / "spool")


def end_without_the_store(
    tracker: Tracker, network: Network, iteration: Iteration, value: float
) -> RunRecord:
    """Do a run whose store is away at its end, and give up."""
    lost = r"is not lost.*with its model, is in"
    with pytest.raises(StoreAwayError, match=lost), tracker.sending_rest():
        end_run_in_the_outage(tracker, network, iteration, value)
    network.is_up = True
    return tracker.runs(iteration)[-1]


def end_run_in_the_outage(
    tracker: Tracker, network: Network, iteration: Iteration, value: float
) -> None:
    run = tracker.start_run(iteration, f"run {value}", str(value), {}, {}, {})
    log = tracker.metric_log(run)
    log.add({iteration.settings.main_metric.name: value}, step=1)
    log.close()
    network.is_up = False
    tracker.log_text(run, "what happened", "notes.txt")
    tracker.tag(run, {WARNING_TAG: "ranks worse"})
    assert not tracker.keep_if_best(run, tiny_model(), 1)
    assert tracker.end_run(run, "FINISHED").status == "FINISHED"


def test_a_figure_is_not_waited_for(tracker: Tracker, network: Network, monkeypatch):
    run = start_run(tracker, begin(tracker), 0.1)
    monkeypatch.setattr(tracker.client, "log_figure", pytest.fail)
    monkeypatch.setattr(outage, "PATIENCE", 1000)
    network.is_up = False
    with pytest.raises(StoreAwayError):
        tracker.log_figure(run, None, "figures/some.png")


def test_all_of_a_run_is_delivered_later_and_once(tracker: Tracker, network: Network):
    iteration = begin(tracker)
    worse = do_run(tracker, iteration, 0.1)
    run = end_without_the_store(tracker, network, iteration, 0.2)
    assert tracker.run(run.run_id).status == "RUNNING"

    later = Tracker(tracker.tracking_uri, tracker.spool_folder)
    (delivered,) = later.sync()
    assert (delivered.run_id, delivered.status, delivered.kept_model) == (
        run.run_id, "FINISHED", True,
    )  # fmt: skip
    now = tracker.run(run.run_id)
    assert (now.status, now.warning, now.metrics[SHIFT]) == ("FINISHED", "ranks worse", 0.2)
    assert [each.path for each in tracker.client.list_artifacts(run.run_id)] == ["notes.txt"]
    assert runs_with_model(tracker) == {run.run_id} != {worse.run_id}
    assert tracker.load_model(now, "cpu").encode("apple").shape == (32,)
    assert not tracker.spool_folder.exists()
    assert later.sync() == []


def test_a_delivered_model_that_is_not_the_best_is_not_kept(tracker: Tracker, network: Network):
    iteration = begin(tracker)
    better = do_run(tracker, iteration, 0.3)
    end_without_the_store(tracker, network, iteration, 0.2)
    (delivered,) = tracker.sync()
    assert delivered.kept_model is False
    assert runs_with_model(tracker) == {better.run_id}


def test_a_run_that_was_taken_for_dead_ends_as_it_really_ended(tracker: Tracker, network: Network):
    run = end_without_the_store(tracker, network, begin(tracker), 0.2)
    tracker.end_run(run, "KILLED", "its process died")
    assert tracker.sync()[0].kept_model
    now = tracker.run(run.run_id)
    assert (now.status, now.failure) == ("FINISHED", None)
    assert runs_with_model(tracker) == {run.run_id}


def test_what_was_not_written_to_its_end_is_left_out(tracker: Tracker, network: Network):
    run = end_without_the_store(tracker, network, begin(tracker), 0.2)
    with (tracker.spool_folder / run.run_id / "deeds.jsonl").open("a", encoding="utf-8") as file:
        file.write('\n{"kind":"tags","ta')  # a process died while it wrote this
    assert tracker.sync()[0].problem is None


def test_a_delivery_that_was_cut_short_is_begun_anew(
    tracker: Tracker, network: Network, monkeypatch
):
    run = end_without_the_store(tracker, network, begin(tracker), 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(RunSpool, "clear", lambda self: 1 / 0)
        (cut,) = tracker.sync()
    assert "ZeroDivisionError" in cut.problem
    assert tracker.sync()[0].problem is None
    stored = tracker.client.search_logged_models([run.experiment_id])
    assert len(stored) == 1


def test_a_run_that_another_process_took_over_is_left_to_it(tracker: Tracker, network: Network):
    run = end_without_the_store(tracker, network, begin(tracker), 0.2)
    tracker.client.set_tag(run.run_id, PROCESS_TAG, describe_process(pid=1))
    (left,) = tracker.sync()
    assert (left.problem, left.is_elsewhere) == ("another process took it over", True)
    assert tracker.run(run.run_id).status == "RUNNING"


def test_what_cannot_be_delivered_is_kept_and_told(
    tracker: Tracker, network: Network, tmp_path: Path
):
    run = end_without_the_store(tracker, network, begin(tracker), 0.2)
    kept = tracker.spool_folder / run.run_id
    network.is_up = False
    assert "is away" in tracker.sync()[0].problem
    network.is_up = True

    other = RunSpool(kept)
    assert other.hold()
    (busy,) = tracker.sync()
    other.release()
    assert (busy.problem, busy.is_elsewhere) == ("a process is at work on it", True)

    (kept / "model" / "weights.bin").write_bytes(pickle.dumps("evil"))
    (refused,) = tracker.sync()
    assert "UnsafeModelError" in refused.problem
    (kept / "model" / "weights.bin").unlink()

    strange = tracker.spool_folder / ("e" * 32)
    strange.mkdir()
    (strange / "run.json").write_text(json.dumps({"store": "http://other"}), encoding="utf-8")
    delivered = {each.run_id: each for each in tracker.sync()}
    assert delivered[run.run_id].problem is None
    assert delivered[strange.name].problem == "it is a run of http://other"
    assert strange.exists()


def test_a_run_whose_store_comes_back_in_time_leaves_nothing(tracker: Tracker, network: Network):
    iteration = begin(tracker)
    run = tracker.start_run(iteration, "", "", {}, {}, {})
    with tracker.sending_rest():
        network.is_up = False
        tracker.log_text(run, "what happened", "notes.txt")
        network.is_up = True
        tracker.end_run(run, "FAILED", "no luck")
        assert tracker.run(run.run_id).status == "RUNNING"
    assert tracker.run(run.run_id).failure == "no luck"
    assert not tracker.spool_folder.exists()


def test_what_is_kept_when_the_work_is_cut_short_can_be_delivered(
    tracker: Tracker, network: Network
):
    iteration = begin(tracker)

    def be_interrupted() -> None:
        with tracker.sending_rest():
            end_run_in_the_outage(tracker, network, iteration, 0.2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    network.is_up = True
    assert tracker.sync()[0].problem is None


def test_an_upload_that_the_store_breaks_off_is_done_again(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
):
    run = start_run(tracker, begin(tracker), 0.2)
    upload, calls = tracker.client.log_model_artifacts, iter([requests.ConnectionError("reset")])

    def break_off_once(model_id: str, folder: str) -> None:
        upload(model_id, folder)
        if error := next(calls, None):
            raise error

    monkeypatch.setattr(tracker.client, "log_model_artifacts", break_off_once)
    monkeypatch.setattr(outage, "PATIENCE", 5.0)
    assert tracker.keep_if_best(run, tiny_model(), 1)
    (model,) = tracker.client.search_logged_models([run.experiment_id])
    assert model.status == LoggedModelStatus.READY
    assert len(model_folders(tracker)) == 2, "that of the initial model, and this one"


def test_no_run_begins_while_the_store_is_away(tracker: Tracker, network: Network):
    iteration = begin(tracker)
    network.is_up = False
    with pytest.raises(StoreAwayError, match="is away"):
        tracker.start_run(iteration, "", "", {}, {}, {})


def test_the_spool_lies_where_the_user_says(store_uri: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Tracker(store_uri).spool_folder == tmp_path / "hooktune-spool"
    monkeypatch.setenv("HOOKTUNE_SPOOL", str(tmp_path / "there"))
    assert Tracker(store_uri).spool_folder == tmp_path / "there"
    assert Tracker(store_uri, "here").spool_folder == tmp_path / "here"
    assert list(tmp_path.glob("*/")) == []
