"""What other people's plugins may do, and what must not happen when they are faulty."""

import os
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path

import pytest
from plugin_zoo import GOOD, METHODS, opened_zoo
from warm_python import run_python

from hooktune import RequestError, Runner
from hooktune.contract import hooks as hookspecs
from hooktune.contract.hooks import hookspec
from hooktune.plugin import checks as contract
from hooktune.plugin import host, opening

BUNDLED = "Default Fine Tuning Method"
QUICK = {"max_runs": 1, "params": {"learning_rate": 1e-3}, "device": "cpu"}
HANGS = "import time\ntime.sleep(600)"
ENDS_PYTHON = "import os\nos._exit(0)"

FAULTS = {
    "raises": (METHODS["raises"], "no licence found"),
    "exits": (METHODS["exits"], "SystemExit: 3"),
    "garbled": (METHODS["garbled"], "SyntaxError"),
    "lacking": (METHODS["lacking"], "lacks the hook 'fit_batch'"),
    "hanging": (HANGS, "still not imported after 3 seconds"),
    "ending": (ENDS_PYTHON, "ends the Python that imports it"),
    "newer": (GOOD, "needs hooktune>=99"),
}
EXTENSION_FAULTS = ("raises", "exits", "garbled", "hanging", "ending")


@pytest.fixture
def zoo(tmp_path):
    with opened_zoo(tmp_path / "site") as opened:
        yield opened


@pytest.fixture
def faulty_methods(zoo, monkeypatch):
    monkeypatch.setenv("HOOKTUNE_CHECK_TIMEOUT", "3")
    for fault, (source, _) in FAULTS.items():
        requires = "hooktune>=99" if fault == "newer" else None
        zoo.install(f"bad-{fault}", source, method=fault, version="6.6", requires=requires)
    return zoo


@pytest.fixture
def faulty_zoo(faulty_methods):
    for fault in EXTENSION_FAULTS:
        source, _ = FAULTS[fault]
        faulty_methods.install(f"worse-{fault}", source, extension=f"{fault} too", version="6.7")
    faulty_methods.install("pirate", GOOD, method=BUNDLED, version="6.8")
    return faulty_methods


def hooktune(zoo, *arguments):
    return run_python("-m", "hooktune", *arguments, env=os.environ | {"PYTHONPATH": str(zoo.site)})


def in_one_line(text):
    return " ".join(text.split())


def test_faulty_plugins_are_listed_and_checked_without_harm(faulty_zoo):
    listed = hooktune(faulty_zoo, "plugins")
    assert listed.returncode == 0
    for fault in FAULTS:
        assert f"bad-{fault}" in listed.stdout
    assert "needs hooktune>=99" in in_one_line(listed.stdout)

    checked = hooktune(faulty_zoo, "plugins", "--check", "--json")
    assert checked.returncode == 1
    for fault, (_, reason) in FAULTS.items():
        assert reason in checked.stdout
        assert f'"bad-{fault}"' in checked.stdout
    assert "claimed by hooktune 0." in checked.stdout
    assert "pirate 6.8" in checked.stdout


def test_a_bundled_method_runs_among_faulty_plugins_each_named(
    faulty_zoo, make_batch, tiny_model_folder, store_uri
):
    done = hooktune(
        faulty_zoo, "--tracking-uri", store_uri, "--block", "pirate", "run", BUNDLED, make_batch(),
        "--max-runs", "1", "--initial-model", tiny_model_folder, "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "FINISHED" in done.stdout
    for fault in EXTENSION_FAULTS:
        assert f"The extension '{fault} too' (worse-{fault} 6.7)" in done.stderr
        assert FAULTS[fault][1] in done.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_choosing_a_faulty_method_is_refused_and_stores_nothing(
    faulty_methods, make_batch, tmp_path, fault
):
    database = tmp_path / "new.db"
    with pytest.raises(RequestError, match=rf"bad-{fault} 6.6") as refusal:
        Runner(f"sqlite:///{database}").run(fault, make_batch())
    assert FAULTS[fault][1] in str(refusal.value)
    assert refusal.value.exit_status == 2
    assert not database.exists()


def test_a_name_claimed_twice_is_refused_until_one_claimant_is_blocked(zoo, make_batch, tmp_path):
    zoo.install("pirate", GOOD, method=BUNDLED, version="6.8")
    refused = hooktune(
        zoo, "--tracking-uri", f"sqlite:///{tmp_path}/new.db", "run", BUNDLED, make_batch()
    )
    assert refused.returncode == 2
    assert "pirate 6.8" in refused.stderr
    assert "hooktune 0." in refused.stderr
    assert "--block pirate" in refused.stderr
    assert not (tmp_path / "new.db").exists()


OBSERVER = """
    import hooktune

    @hooktune.hookimpl(wrapper=True)
    def fit_batch():
        raise RuntimeError("the clock stopped")
        yield

    @hooktune.hookimpl(wrapper=True)
    def compute_metrics():
        yield
        raise RuntimeError("the log is full")
"""


def test_an_observer_that_raises_stops_nothing_and_is_recorded_on_the_run(
    zoo, make_batch, tiny_model_folder, store_uri
):
    zoo.install("acme-clock", OBSERVER, extension="clock (beta)", version="0.3")
    result = Runner(store_uri).run(
        BUNDLED, make_batch(), initial_model=str(tiny_model_folder), **QUICK
    )
    [run] = result.runs
    assert run.status == "FINISHED"
    assert run.tags["hooktune.plugin.clock _beta_"] == "acme-clock 0.3"
    failure = run.tags["hooktune.plugin_failure.clock _beta_"]
    assert "acme-clock 0.3" in failure
    assert "the clock stopped" in failure
    assert "the log is full" in failure


@pytest.fixture
def old_plugin():
    spec = util.spec_from_file_location("old", Path(__file__).parent / "plugin_of_0_1.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_old_plugin_works_on_when_hooks_gain_arguments(
    old_plugin, monkeypatch, make_batch, tiny_model_folder, store_uri
):
    def fit_batch(run, model, batch, params, budget): ...

    def compute_metrics(model, sessions, scores, baseline, documents): ...

    monkeypatch.setattr(hookspecs, "fit_batch", hookspec(firstresult=True)(fit_batch))
    monkeypatch.setattr(hookspecs, "compute_metrics", hookspec(compute_metrics))
    later = contract._hooks()
    assert later["fit_batch"][-1] == "budget"
    monkeypatch.setattr(contract, "HOOKS", later)
    monkeypatch.setattr(opening, "Host", LaterHost)

    observer = old_plugin.Observer()
    batch = make_batch()
    result = Runner(store_uri, plugins=[old_plugin, observer]).run(
        old_plugin.NAME, batch, initial_model=str(tiny_model_folder), **QUICK
    )
    [run] = result.runs
    assert run.status == "FINISHED"
    assert run.metrics["test_sessions"] > 0
    assert result.best == run
    assert ("fit_batch", result.iteration.name.batch_id) in observer.seen
    assert "compute_metrics" in {hook for hook, _ in observer.seen}


class LaterHost(host.Host):
    """A host of a later version, which has more to give to its hooks."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._callers["compute_metrics"] = {
            plugin: lambda call=call, **given: call(**given, documents=())
            for plugin, call in self._callers["compute_metrics"].items()
        }

    def fit_batch(self, run, model, batch, params):
        return self._manager.hook.fit_batch(
            run=run, model=model, batch=batch, params=params, budget=None
        )


METHOD_FILE = """
import random

from hooktune import TrainingParams, hookimpl

NAME = "Mine"


@hookimpl
def upload_initial_model(settings):
    from sentence_transformers import SentenceTransformer
    return SentenceTransformer(settings.initial_model, device=settings.device)


@hookimpl
def hyper_parameters():
    return TrainingParams


@hookimpl
def fit_batch(run, model, batch, params):
    import torch

    from hooktune import train

    def loss(sessions, scores):
        return SIGN * scores.mean() * random.random() * torch.rand(())

    return train(run, model, batch, loss, params)


@hookimpl
def compute_metrics(scores):
    return {"SIDE": float(scores.mean())}
"""


@pytest.fixture
def method_file(tmp_path):
    def write(side, sign):
        path = tmp_path / side / "method.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(METHOD_FILE.replace("SIGN", sign).replace("SIDE", side))
        return path

    return write


def test_two_runners_in_two_threads_do_not_see_each_other(
    method_file, make_batch, tiny_model_folder, empty_store, tmp_path
):
    batch = make_batch()
    files = {"up": method_file("up", "-1"), "down": method_file("down", "+1")}

    def work(side, place):
        folder = tmp_path / place
        folder.mkdir()
        store = folder / "mlflow.db"
        store.write_bytes(empty_store.read_bytes())
        runner = Runner(f"sqlite:///{store}", plugins=[files[side]])
        result = runner.run("Mine", batch, initial_model=str(tiny_model_folder), **QUICK)
        assert runner.tracker.runs(result.iteration) == list(result.runs)
        return result.runs

    with ThreadPoolExecutor(2) as threads:
        pending = {side: threads.submit(work, side, f"{side}-thread") for side in files}
        together = {side: each.result() for side, each in pending.items()}
    alone = {side: work(side, f"{side}-alone") for side in files}
    for side, other in (("up", "down"), ("down", "up")):
        [run], [run_alone] = together[side], alone[side]
        assert run.status == "FINISHED"
        assert f"test_{side}" in run.metrics
        assert f"test_{other}" not in run.metrics
        assert without_time(run.metrics) == without_time(run_alone.metrics)


def without_time(metrics):
    return {name: value for name, value in metrics.items() if name != "fit_seconds"}


def test_a_method_in_a_file_runs_again_once_it_was_edited(
    method_file, make_batch, tiny_model_folder, store_uri
):
    batch = make_batch()

    def run(path):
        return Runner(store_uri).run(
            str(path), batch, initial_model=str(tiny_model_folder), **QUICK
        )

    assert run(method_file("up", "-1")).iteration.name.method == "Mine"
    assert run(method_file("up", "-1")).attempted == 0
    edited = run(method_file("up", "-2"))
    assert (edited.attempted, len(edited.runs)) == (1, 2)
