"""The example packages, installed from their folders: they keep the contract, run and compare."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from warm_python import run_python

from hooktune.tracking import Tracker

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PACKAGES = [
    package
    for package in sorted(EXAMPLES.glob("hooktune-*"))
    # Ray is too large to be installed for tests; its own package cannot be imported without it.
    if package.name != "hooktune-ray" or find_spec("ray")
]
LAUNCHERS = {"slurm"}
METHODS = {"LoRA", "Linear Adapter", "Sentence Transformers Trainer"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which all examples are installed, without a network."""
    site = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-index",
         "--no-deps", "--no-build-isolation", "--target", site, *PACKAGES],
        check=True, timeout=300,
    )  # fmt: skip
    return site


@pytest.fixture
def python(site: Path, tmp_path: Path):
    """Runs a module of Python that has the examples."""

    def run(*arguments: object) -> str:
        environment = os.environ | {"PYTHONPATH": str(site)}
        done = run_python("-m", *arguments, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_each_example_passes_its_own_tests(python):
    tested = python(
        # Plugins of pytest that MLflow imports too are imported already.
        "pytest", "-q", "-W", "error", "-W", "ignore:Module already imported",
        "-p", "no:cacheprovider", "--import-mode=importlib", EXAMPLES,
    )  # fmt: skip
    assert "failed" not in tested


def test_the_examples_run_on_one_batch_and_are_compared(
    python, make_batch, tiny_model_folder, store_uri
):
    batch = make_batch()
    listed = json.loads(python("hooktune", "plugins", "--check", "--json"))
    foreign = {
        each["name"]: each["status"]
        for each in listed
        if each["distribution"] not in ("hooktune", "hooktune-ray")  # Ray need not be installed
    }
    assert foreign == dict.fromkeys([*METHODS, "stopwatch", *LAUNCHERS], "loaded")

    store = ("hooktune", "--tracking-uri", store_uri)
    ran = json.loads(
        python(
            *store, "run", *sorted(METHODS), batch, "--max-runs", "1", "--json",
            "--initial-model", tiny_model_folder, "--device", "cpu",
        )
    )  # fmt: skip
    compared = json.loads(python(*store, "compare", batch, "--json"))
    assert ran == compared
    assert compared["comparable"]
    assert {each["method"] for each in compared["methods"]} == METHODS

    shown = python(*store, "compare", batch)
    for method in METHODS:
        assert method in shown

    tracker = Tracker(store_uri)
    for iteration in tracker.iterations():
        [run] = tracker.runs(iteration)
        assert run.status == "FINISHED"
        assert 0 < run.metrics["seconds_compute_metrics"] < run.metrics["seconds_fit_batch"]
        assert run.metrics["calls_fit_batch"] == 1
        assert 0 <= run.metrics["test_recall_at_5"] <= 1
