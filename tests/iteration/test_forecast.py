import json
from pathlib import Path

import pytest

from hooktune.cli import main
from hooktune.data.release import open_batch
from hooktune.errors import RequestError
from hooktune.iteration import forecast as forecasts
from hooktune.iteration.forecast import forecast
from hooktune.iteration.probe import Rate
from hooktune.iteration.request import Request
from hooktune.plugin.choice import PluginChoice
from hooktune.tracking import Tracker

METHOD = "Default Fine Tuning Method"


@pytest.fixture
def told(tmp_path: Path, make_batch, tiny_model_folder: Path):
    """Forecasts a request on a store that does not exist."""

    def tell(method: str = METHOD, workers: int = 1, **asked):
        host = PluginChoice((), None, ()).open_host(method)
        request = Request(initial_model=str(tiny_model_folder), device="cpu", **asked)
        tracker = Tracker(f"sqlite:///{tmp_path}/none.db")
        return forecast(tracker, host, open_batch(make_batch()), request, "cpu", workers)

    return tell


def test_a_forecast_tells_time_memory_and_disk_and_stores_nothing(told, tmp_path):
    found = told(max_runs=3, params={"epochs": 2, "mini_batch_size": 2})
    assert len(found.plan.todo) == 3
    for rate in (found.before, found.each_run, found.total):
        assert 0 < rate.low <= rate.mean <= rate.high < 600
    assert found.total.mean == pytest.approx(found.before.mean + 3 * found.each_run.mean)
    assert 100e6 < found.memory < 10e9
    # The initial model, the best one, and the one that is to replace it.
    weights = sum(
        file.stat().st_size for file in Path(found.plan.initial_model).glob("*.safetensors")
    )
    assert found.store.needed == pytest.approx(3 * weights, rel=0.1)
    assert not (tmp_path / "none.db").exists()
    assert json.loads(json.dumps(found.as_json()))["to_run"][0] == "epochs=2, mini_batch_size=2"


def test_a_method_without_steps_is_timed_by_its_whole_work_on_a_sample(told):
    found = told("Query Map Method", max_runs=1)
    assert 0 < found.each_run.low < found.each_run.high


def test_workers_share_the_runs_and_what_the_disk_cannot_hold_is_refused(told, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(forecasts.shutil, "disk_usage", lambda folder: usage)
    found = told(max_runs=4, workers=2)
    assert found.total.mean == pytest.approx(found.before.mean + 2 * found.each_run.mean)
    with pytest.raises(RequestError, match="The disk of the store cannot hold this"):
        found.check()


def test_the_interval_of_a_rate_holds_its_mean():
    rate = Rate.of([1.0, 2.0, 3.0])
    assert (rate.mean, round(rate.low, 2), round(rate.high, 2)) == (2.0, 0.0, 4.48)
    assert Rate.of([2.0]) == Rate(2.0, 1.0, 4.0)


def test_a_dry_run_prints_what_would_be_done(
    capsys, tmp_path, make_batch, tiny_model_folder, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(
            ["run", METHOD, str(make_batch()), "--dry-run", "--device", "cpu", "--max-runs", "2",
             "--initial-model", str(tiny_model_folder)]
        )  # fmt: skip
    printed = capsys.readouterr().out
    assert not end.value.code
    assert "is begun from an initial model" in printed
    assert printed.count("to run: ") == 2
    assert "Nothing was stored." in printed
    assert not (tmp_path / "mlflow.db").exists()
