"""From the best model of an iteration to the champion that is served, and back."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from champions import champion, finish, hand_over
from tracked import METHOD, SHIFT
from warm_python import run_python

from hooktune import Runner, load_champion
from hooktune.cli import main
from hooktune.contract.metric import RANKING_METRIC
from hooktune.tracking import Tracker


def test_the_first_champion_is_registered_and_stock_mlflow_serves_it(
    tracker: Tracker, store_uri: str
):
    run = finish(tracker, 1, 0.1, 0.6)
    made = hand_over(tracker)

    assert (made.champion.number, made.is_new, made.run.run_id) == (1, True, run.run_id)
    assert made.champion.tags["hooktune.decision"] == "not worse"
    assert made.champion.tags["hooktune.batch_id"] == run.batch_id
    compared = json.loads(made.champion.tags["hooktune.compared_metrics"])
    assert compared == {
        "candidate": {SHIFT: 0.1, RANKING_METRIC: 0.6},
        "present": {SHIFT: 0.0, RANKING_METRIC: 0.5},
    }
    again = hand_over(tracker)
    assert (again.is_new, again.champion) == (False, champion(tracker))

    expected = tracker.load_model(run, "cpu").encode("apple")
    served = load_champion(METHOD, store_uri, device="cpu").encode("apple")
    np.testing.assert_array_equal(served, expected)
    script = """
import sys
sys.modules["hooktune"] = None
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.sentence_transformers.load_model(sys.argv[2])
print(*model.encode("apple").tolist())
"""
    address = f"models:/{METHOD}@champion"
    loaded = run_python("-c", script, store_uri, address)
    assert loaded.returncode == 0, loaded.stderr
    values = [float(each) for each in loaded.stdout.splitlines()[-1].split()]
    np.testing.assert_allclose(values, expected, atol=1e-6)


@pytest.fixture
def hooktune(capsys: pytest.CaptureFixture[str], store_uri: str) -> Callable[..., tuple[int, str]]:
    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(["--tracking-uri", store_uri, *arguments])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return run


def test_the_commands(hooktune, tracker: Tracker):
    assert hooktune("promote")[0] == 2
    finish(tracker, 1, 0.1)
    status, said = hooktune("promote")
    assert status == 0
    assert "is the champion now, version 1 of Some Method" in said
    assert "test_not_irrelevant_dist_shift: 0.1000, before 0.0000" in said
    assert "models:/Some Method@champion" in said
    assert "champion already" in hooktune("promote", METHOD)[1]
    assert hooktune("rollback")[0] == 2

    finish(tracker, 2, 0.2, 0.3)
    status, said = hooktune("promote")
    assert status == 1
    assert "ranks worse than champion version 1 (0.3000 against 0.5000" in said
    assert hooktune("promote", "--force")[0] == 0
    status, said = hooktune("rollback")
    assert status == 0
    assert "Version 1 of Some Method is the champion again" in said


def test_the_runner_promotes_what_it_has_run(store_uri: str, make_batch, tiny_model_folder: Path):
    runner = Runner(store_uri)
    method = "Default Fine Tuning Method"
    learn = {"learning_rate": 1e-3, "mini_batch_size": 2, "attraction": 0.3}
    result = runner.run(
        method, make_batch(), max_runs=1, params=learn, initial_model=str(tiny_model_folder)
    )
    made = runner.promote(method, force=True)
    assert made.run == result.best
    assert load_champion(method, store_uri, device="cpu").encode("apple").shape == (32,)
