"""What observers are told of runs, iterations and promotions, in a real store."""

import json
import sqlite3

import pytest
import torch
from made_records import dead_process
from pydantic import BaseModel
from tracked import SHIFT

from hooktune import Addresses, Runner, hookimpl
from hooktune.testing import tiny_model


class Params(BaseModel):
    push: float = 0.5
    fails: bool = False


class Pusher:
    """Adds one constant to all embeddings, which moves all similarities up."""

    NAME = "Pusher"

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def hyper_parameters(self):
        return Params

    @hookimpl
    def fit_batch(self, model, params):
        if params.fails:
            raise ValueError("cannot go on")
        with torch.no_grad():
            model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += params.push
        return model


class Watcher:
    """Keeps what it is told, and looks into the store at that moment, with other means."""

    NAME = "watcher"

    def __init__(self, database):
        self.database = database
        self.told = []

    def keep(self, hook, run_id, given):
        with sqlite3.connect(self.database) as connection:
            query = "SELECT status FROM runs WHERE run_uuid = ?"
            found = connection.execute(query, [run_id]).fetchone()
        self.told.append((hook, run_id, found and found[0], given))

    @hookimpl
    def run_finished(self, method, batch_id, run_id, status, metrics, starting_metrics, addresses):
        given = (method, batch_id, status, metrics, starting_metrics, addresses)
        self.keep("run_finished", run_id, given)

    @hookimpl
    def iteration_finished(
        self, method, batch_id, run_id, status, metrics, starting_metrics, addresses
    ):
        given = (method, batch_id, status, metrics, starting_metrics, addresses)
        self.keep("iteration_finished", run_id, given)

    @hookimpl
    def promoted(self, method, batch_id, run_id, status, metrics, starting_metrics, addresses):
        given = (method, batch_id, status, metrics, starting_metrics, addresses)
        self.keep("promoted", run_id, given)


class Hangs(Watcher):
    """Fails each time it is told something."""

    NAME = "webhook"

    def keep(self, hook, run_id, given):
        raise ConnectionError("nobody answers")


@pytest.fixture
def watcher(tmp_path):
    return Watcher(tmp_path / "mlflow.db")


@pytest.fixture
def store(tmp_path, watcher):
    return f"sqlite:///{watcher.database}"


def runner_with(store, *observers):
    return Runner(store, only=["hooktune"], plugins=[Pusher(), *observers])


def test_observers_are_told_of_each_end_once_it_is_in_the_store(store, watcher, make_batch):
    runner, batch = runner_with(store, watcher), make_batch()
    result = runner.run("Pusher", batch, max_runs=1, device="cpu")
    promotion = runner.promote("Pusher", force=True, device="cpu")

    best, iteration = result.best, result.iteration
    about = ("Pusher", iteration.name.batch_id)
    starting = iteration.starting_metrics
    kept = Addresses(store, f"runs:/{best.run_id}/model", None)
    version = Addresses(store, f"models:/{promotion.champion.model}/1", None)
    assert watcher.told == [
        ("run_finished", best.run_id, "FINISHED",
         (*about, "FINISHED", best.metrics, starting, kept)),
        ("iteration_finished", best.run_id, "FINISHED",
         (*about, "FINISHED", best.metrics, starting, kept)),
        ("promoted", best.run_id, "FINISHED",
         (*about, promotion.champion.tags["hooktune.decision"], promotion.contest.candidate,
          promotion.contest.present, version)),
    ]  # fmt: skip
    assert best.metrics[SHIFT] > starting[SHIFT]

    runner.run("Pusher", batch, max_runs=1, device="cpu")
    runner.promote("Pusher", device="cpu")
    assert len(watcher.told) == 3, "nothing was done"


def test_a_failed_run_and_an_iteration_without_a_best_are_told_of(store, watcher, make_batch):
    runner = runner_with(store, watcher)
    result = runner.run("Pusher", make_batch(), params={"fails": True}, device="cpu")
    (run,) = result.runs
    (ended, over) = watcher.told
    nothing_kept = Addresses(store, None, None)
    assert ended[:3] == ("run_finished", run.run_id, "FAILED")
    assert ended[3][2] == "FAILED"
    assert ended[3][-1] == nothing_kept
    assert over[:3] == ("iteration_finished", None, None)
    assert over[3][2:] == ("FAILED", {}, result.iteration.starting_metrics, nothing_kept)


def test_an_observer_that_fails_stops_nothing_and_is_recorded(store, watcher, make_batch, caplog):
    runner = runner_with(store, Hangs(watcher.database), watcher)
    result = runner.run("Pusher", make_batch(), max_runs=1, device="cpu")
    promotion = runner.promote("Pusher", force=True, device="cpu")
    assert [told[0] for told in watcher.told] == ["run_finished", "iteration_finished", "promoted"]
    assert promotion.is_new
    recorded = runner.tracker.run(result.best.run_id).tags["hooktune.plugin_failure.webhook"]
    said = "failed in {}, and the work goes on: ConnectionError: nobody answers."
    assert said.format("promoted") in recorded
    for hook in ("run_finished", "iteration_finished", "promoted"):
        assert said.format(hook) in caplog.text


def test_a_run_that_is_gone_on_with_is_told_of_once_it_ends(
    store, watcher, make_batch, monkeypatch
):
    class Died(KeyboardInterrupt):
        """Stands for what no process lives to see."""

    class Dies(Pusher):
        @hookimpl
        def fit_batch(self, model, params):
            raise Died

    batch = make_batch()
    dying = Runner(store, only=["hooktune"], plugins=[Dies(), watcher])
    monkeypatch.setattr(dying.tracker, "end_run", lambda *_: None)
    with pytest.raises(Died):
        dying.run("Pusher", batch, max_runs=1, device="cpu")
    assert watcher.told == []
    (left,) = dying.runs(dying.iterations()[0])
    dying.tracker.tag(left, {"hooktune.process": json.dumps(dead_process())})

    runner_with(store, watcher).run("Pusher", batch, max_runs=1, device="cpu")
    assert [told[:3] for told in watcher.told] == [
        ("run_finished", left.run_id, "FINISHED"),
        ("iteration_finished", left.run_id, "FINISHED"),
    ]
