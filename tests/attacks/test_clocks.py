"""A whole iteration during which the wall clock is set back and forth by hours."""

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from stored_state import state

from hooktune import Runner

HOUR: Final = 3600.0
METHOD: Final = """
import time
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict

from hooktune import SearchRange, hookimpl
from hooktune.testing import tiny_model

NAME = "Clocked"


class Params(BaseModel):
    model_config = ConfigDict(frozen=True)

    lift: Annotated[float, SearchRange(0.2, 0.9)] = 0.1


@hookimpl
def hyper_parameters():
    return Params


@hookimpl
def upload_initial_model(settings):
    return tiny_model(settings.seed)


@hookimpl
def fit_batch(run, model, params):
    for step in range(1, 30):
        with Path(__file__).with_suffix(".times").open("a") as file:
            print(time.time(), file=file)
        run.log({"train_loss": 1 / step}, step)
    with torch.no_grad():
        model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += params.lift
    run.evaluate(model, 30)
    return model
"""


@pytest.fixture
def jumping_clock(tmp_path: Path) -> dict[str, str]:
    """The environment of processes whose wall clock jumps."""
    compiler, source = shutil.which("gcc"), Path(__file__).with_name("jumping_clock.c")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("the clock is made to jump by a library for Linux, which gcc compiles")
    library = tmp_path / "jumping_clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return {**os.environ, "LD_PRELOAD": str(library)}


@pytest.mark.long
def test_an_iteration_ends_as_ever_though_the_clock_jumps(
    jumping_clock: dict[str, str], released_batch: Path, empty_store: Path, tmp_path: Path
):
    (tmp_path / "clocked.py").write_text(METHOD, encoding="utf-8")
    uris = {}
    for name in ("jumping", "undisturbed"):
        (tmp_path / name).mkdir()
        shutil.copy(empty_store, tmp_path / name / "mlflow.db")
        uris[name] = f"sqlite:///{tmp_path / name / 'mlflow.db'}"
    command = ["--tracking-uri", uris["jumping"], "run", "clocked.py", released_batch]
    subprocess.run(
        [sys.executable, "-m", "hooktune", *command, "--max-runs", "2", "--device", "cpu"],
        env=jumping_clock, cwd=tmp_path, check=True,
    )  # fmt: skip
    seen = [float(time) for time in (tmp_path / "clocked.times").read_text().split()]
    jumps = [later - earlier for earlier, later in pairwise(seen)]
    assert min(jumps) < -HOUR
    assert max(jumps) > HOUR
    Runner(uris["undisturbed"]).run(
        str(tmp_path / "clocked.py"), released_batch, max_runs=2, device="cpu"
    )
    assert state(uris["jumping"], "Clocked") == state(uris["undisturbed"], "Clocked")
