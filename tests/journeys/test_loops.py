"""The method that docs/plugins/loops.md shows: a loop of its own, of public names only."""

import re
import shutil
from pathlib import Path

import pytest
from warm_python import run_linked, run_python

from hooktune.tracking import Tracker

pytestmark = pytest.mark.long

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "loops.md"
METHOD = "Falling Margin"
DROPOUT = ("--param", "dropout=true")


@pytest.fixture
def method(tmp_path: Path) -> Path:
    (source,) = re.findall(r"```python\n# falling_margin.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    file = tmp_path / "falling_margin.py"
    file.write_text(source)
    return file


def tune(store: str, method: Path, batch: Path, model: Path, *more: object, run=run_python):
    return run(
        "-m", "hooktune", "--tracking-uri", store, "run", method, batch,
        "--max-runs", 1, "--device", "cpu", "--initial-model", model, "--checkpoint-every", 0,
        "--param", "mini_batch_size=4", "--param", "precision=float32",
        "--param", "accumulated_mini_batches=3", *more,
    )  # fmt: skip


def histories(uri: str) -> dict[str, list[tuple[int, float]]]:
    """The steps and values of all metrics of the only run of a store."""
    tracker = Tracker(uri)
    (iteration,) = tracker.iterations(METHOD)
    (run,) = tracker.runs(iteration)
    assert run.status == "FINISHED"
    get = tracker.client.get_metric_history
    return {
        name: [(point.step, point.value) for point in get(run.run_id, name)]
        for name in run.metrics
        if name != "fit_seconds"
    }


def assert_same(one: dict, other: dict, within: float) -> None:
    assert len(one["train_loss"]) > 6
    assert one.keys() == other.keys()
    for name, points in one.items():
        assert other[name] == [(step, pytest.approx(value, abs=within)) for step, value in points]


def test_it_gives_the_numbers_of_one_process_on_two_devices(
    store_uri: str, tmp_path: Path, empty_store: Path, make_batch, tiny_model_folder: Path, method
):
    batch = make_batch()
    done = tune(store_uri, method, batch, tiny_model_folder)
    assert done.returncode == 0, done.stderr
    alone = histories(store_uri)

    together = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'together.db')}"
    for done in tune(together, method, batch, tiny_model_folder, run=run_linked):
        assert done.returncode == 0, done.stderr
    assert_same(alone, histories(together), 1e-4)


def test_it_goes_on_after_a_kill_as_if_nothing_had_happened(
    store_uri: str, tmp_path: Path, empty_store: Path, make_batch, tiny_model_folder: Path, method,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    batch, stop = make_batch(), "            if run.should_stop():"
    die = "            step == 7 and 'DIE' in os.environ and os.kill(os.getpid(), 9)\n"
    method.write_text("import os\n" + method.read_text().replace(stop, die + stop))
    done = tune(store_uri, method, batch, tiny_model_folder, *DROPOUT)
    assert done.returncode == 0, done.stderr

    killed = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'killed.db')}"
    with monkeypatch.context() as patch:
        patch.setenv("DIE", "1")
        assert tune(killed, method, batch, tiny_model_folder, *DROPOUT).returncode == -9
    done = tune(killed, method, batch, tiny_model_folder, *DROPOUT)
    assert done.returncode == 0, done.stderr
    assert_same(histories(store_uri), histories(killed), 1e-6)
