"""The one object for a store: what it does, what it gives, and what stops it."""

from pathlib import Path
from threading import Event, Thread

import pytest
import torch

import hooktune
from hooktune import HooktuneError, PhaseProgress, RequestError, Runner, StepProgress, hookimpl
from hooktune.testing import tiny_model

SHIFT = "test_not_irrelevant_dist_shift"


class Pusher:
    """Adds one constant to all embeddings, which moves all similarities up."""

    def __init__(self, name: str = "Pusher", push: float = 0.5) -> None:
        self.NAME = name
        self.push = push
        self.began = Event()
        self.goes_on = Event()
        self.goes_on.set()

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def fit_batch(self, run, model):
        self.began.set()
        assert self.goes_on.wait(60)
        run.log({"train_loss": 1.0}, 1)
        with torch.no_grad():
            model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += self.push
        return model


@pytest.fixture
def pusher() -> Pusher:
    return Pusher()


@pytest.fixture
def runner(store_uri: str, pusher: Pusher) -> Runner:
    return Runner(store_uri, plugins=[pusher])


def test_everything_is_reached_from_the_runner(runner: Runner, make_batch, tmp_path: Path):
    batch = hooktune.open_batch(make_batch())
    result = runner.run("Pusher", batch, device="cpu", seed=1)

    assert runner.iterations() == runner.iterations("Pusher") == (result.iteration,)
    assert runner.runs(result.iteration) == runner.runs(batch.batch_id) == result.runs
    assert runner.best("Pusher") == result.best
    for model in (
        result.load_model("cpu"),
        runner.load_model(result.best, "cpu"),
        runner.load_model(result.best.run_id, "cpu"),
    ):
        assert model.encode("apple").shape == (32,)
    runner.export(result.best.run_id, tmp_path / "model")
    assert (tmp_path / "model" / "modules.json").exists()

    compared = runner.compare(batch)
    assert compared.winner.run == result.best
    assert runner.compare(batch.batch_id) == runner.compare(tmp_path / "batch-0") == compared
    promotion = runner.promote("Pusher", batch, force=True, device="cpu")
    assert promotion.run == result.best
    assert runner.load_champion("Pusher", "cpu").encode("apple").shape == (32,)
    with pytest.raises(RequestError, match="replaced no champion"):
        runner.roll_back("Pusher")
    assert runner.sync() == ()


def test_what_it_gives_shows_itself(runner: Runner, make_batch):
    batch = make_batch()
    result = runner.run("Pusher", batch, device="cpu")
    best = result.best
    assert repr(result) == (
        f"<IterationResult '{result.iteration.name}': 1 runs, best {best.run_id} with "
        f"{SHIFT}={best.metrics[SHIFT]:.4f}>"
    )
    assert repr(best).startswith(f"<RunRecord run_id='{best.run_id}', name='defaults', status=")
    assert result.to_pandas()[SHIFT].tolist() == [best.metrics[SHIFT]]
    frame = runner.iterations().to_pandas()
    assert frame[["method", "seed", "test_ratio"]].values.tolist() == [["Pusher", 0, 0.2]]
    compared = runner.compare(batch)
    assert repr(compared) == (
        f"<Comparison of 1 methods on batch {compared.batch_id}, won by 'Pusher'>"
    )
    assert compared.to_pandas().run_id.tolist() == [best.run_id]
    for shown in (result, best, result.iteration, compared, compared.methods[0], result.runs):
        assert best.run_id in shown._repr_html_()
    promotion = runner.promote("Pusher", force=True)
    assert repr(promotion).startswith("<Promotion model='Pusher', version=1, run_id=")


def test_no_model_is_loaded_where_none_is_better(store_uri: str, make_batch):
    result = Runner(store_uri, plugins=[Pusher(push=0.0)]).run("Pusher", make_batch(), device="cpu")
    with pytest.raises(RequestError, match=r"No run of .* beats its starting model"):
        result.load_model()
    assert "no run beats the starting model" in repr(result)


def test_what_does_not_exist_is_named(runner: Runner):
    for ask, reason in (
        (lambda: runner.runs("iteration / X"), "There is no iteration"),
        (lambda: runner.best("X"), "'X' has no model yet"),
        (lambda: runner.load_model("0" * 32), "There is no run"),
        (lambda: runner.compare("missing"), "is no folder"),
        (lambda: runner.load_champion("X"), "has no champion"),
    ):
        with pytest.raises(RequestError, match=reason):
            ask()


def test_a_batch_id_of_several_iterations_names_none_of_them(store_uri: str, make_batch):
    runner = Runner(store_uri, plugins=[Pusher("One"), Pusher("Two")])
    outcomes = runner.run_all(["One", "Two"], make_batch(), device="cpu")
    first, _ = runner.iterations()
    with pytest.raises(RequestError, match="names several iterations"):
        runner.runs(first.name.batch_id)
    assert runner.runs(str(first.name)) == outcomes[0].result.runs
    assert outcomes.to_pandas().method.tolist() == ["One", "Two"]


def test_one_method_that_cannot_do_what_is_asked_for_keeps_all_from_being_run(
    store_uri: str, make_batch
):
    runner = Runner(store_uri, plugins=[Pusher("One"), Pusher("Two")])
    batch = make_batch()
    runner.run("Two", batch, seed=1, device="cpu")
    with pytest.raises(RequestError, match=r"Two .* was begun with seed 1"):
        runner.run_all(["One", "Two"], batch, seed=2, device="cpu")
    assert runner.iterations("One") == ()


def test_stop_ends_the_call_at_work_and_no_later_one(runner: Runner, pusher: Pusher, make_batch):
    batch = hooktune.open_batch(make_batch())
    runner.stop()
    pusher.goes_on.clear()
    results = []
    call = Thread(target=lambda: results.append(runner.run("Pusher", batch, device="cpu")))
    call.start()
    assert pusher.began.wait(120)
    runner.stop()
    pusher.goes_on.set()
    call.join(120)
    results.append(runner.run("Pusher", batch, device="cpu"))
    stopped, later = results
    assert [run.status for run in stopped.runs] == ["KILLED"]
    assert [run.status for run in later.runs] == ["KILLED", "FINISHED"]


def test_progress_is_told_to_who_asks_for_it(store_uri: str, pusher: Pusher, make_batch):
    heard = []
    runner = Runner(store_uri, plugins=[pusher], on_progress=heard.append)
    runner.run("Pusher", make_batch(), device="cpu")
    assert PhaseProgress("loading the model", ended=True) in heard
    assert StepProgress("run 1/1", 1, None, 1.0) in heard


def test_what_a_listener_raises_ends_the_work(store_uri: str, pusher: Pusher, make_batch):
    def refuse(progress):
        raise HooktuneError("enough")

    with pytest.raises(HooktuneError, match="enough"):
        Runner(store_uri, plugins=[pusher], on_progress=refuse).run("Pusher", make_batch())


def test_a_password_is_not_shown(tmp_path: Path):
    runner = Runner("postgresql://me:secret@host/db", spool=tmp_path)
    assert "secret" not in repr(runner)
    assert "host/db" in repr(runner)
