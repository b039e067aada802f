"""What people see in MLflow, in a real browser.

With HOOKTUNE_SCREENSHOTS set to a folder, the screenshots of docs/mlflow.md are made there anew.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, DRIVER, Browser, free_port, open_browser, started

from hooktune import Runner
from hooktune.iteration_work import IterationResult
from hooktune.release import release_batch
from hooktune.testing import made_up_log, tiny_model

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="needs Debian's chromium: apt-get install chromium chromium-driver",
)

METHOD = "Default Fine Tuning Method"
MAIN = "test_not_irrelevant_dist_shift"
SCREENSHOTS = os.environ.get("HOOKTUNE_SCREENSHOTS")
# The labels of MLflow's pages.
EXPERIMENTS_PAGE = "#/experiments"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seen")


@pytest.fixture(scope="module")
def result(folder: Path, empty_store: Path) -> IterationResult:
    """An iteration of three runs."""
    import json

    files = folder / "sessions.jsonl", folder / "items.jsonl"
    for path, rows in zip(files, made_up_log(sessions=120), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    release_batch(*files, folder / "batch")
    tiny_model().save_pretrained(str(folder / "tiny"))
    shutil.copy(empty_store, folder / "mlflow.db")
    return Runner(f"sqlite:///{folder}/mlflow.db").run(
        METHOD,
        folder / "batch",
        max_runs=3,
        params={"mini_batch_size": 8, "frozen_layers": 0},
        initial_model=str(folder / "tiny"),
        device="cpu",
    )


@pytest.fixture(scope="module")
def server(folder: Path, result: IterationResult) -> Iterator[str]:
    """`hooktune ui` on the iteration's store; its address."""
    port = free_port()
    command = [sys.executable, "-m", "hooktune", "--tracking-uri", f"sqlite:///{folder}/mlflow.db"]
    address = f"http://127.0.0.1:{port}"
    with started(
        [*command, "ui", "--port", str(port)], f"{address}/health", folder / "server.log", 180
    ):
        yield address


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with open_browser(folder) as opened:
        yield opened


def picture(browser: Browser, name: str) -> None:
    """Makes a screenshot for the documentation, if they are asked for."""
    if SCREENSHOTS:
        import time

        time.sleep(2)
        browser.screenshot(Path(SCREENSHOTS, f"{name}.png"))


def test_the_list_of_experiments_shows_the_iteration(browser, server, result):
    browser.open(f"{server}/{EXPERIMENTS_PAGE}")
    browser.wait_for(str(result.iteration.name), "iteration / initial")
