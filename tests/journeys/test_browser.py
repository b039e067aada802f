"""What people see in MLflow, in a real browser: Debian's chromium on `hooktune ui`."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, DRIVER, Browser, open_browser, started, wait_until
from ports import free_port

from hooktune import Runner
from hooktune.evaluation.figures import EVALUATIONS_FILE, SIMILARITIES_FILE
from hooktune.evaluation.report.report import REPORT_FILE
from hooktune.iteration.log_release import release_batch
from hooktune.iteration.result import IterationResult
from hooktune.plain_text import markdown
from hooktune.testing import made_up_log, tiny_model
from hooktune.tracking.records import NOTE_TAG
from hooktune.tracking.saved_view import view_address

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="needs Debian's chromium: apt-get install chromium chromium-driver",
)

METHOD = "Default Fine Tuning Method"
MAIN = "test_not_irrelevant_dist_shift"
NASTY = "<script>alert(1)</script> **b** [x](javascript:alert) | `c` # &lt; http://x.y :u: __u__"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seen")


@pytest.fixture(scope="module")
def result(folder: Path, empty_store: Path) -> IterationResult:
    """An iteration of three runs and their average, one of which has a hostile description."""
    files = folder / "sessions.jsonl", folder / "items.jsonl"
    for path, rows in zip(files, made_up_log(), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    release_batch(*files, folder / "batch")
    tiny_model().save_pretrained(str(folder / "tiny"))
    shutil.copy(empty_store, folder / "mlflow.db")
    result = Runner(f"sqlite:///{folder}/mlflow.db").run(
        METHOD,
        folder / "batch",
        max_runs=3,
        params={"mini_batch_size": 4, "learning_rate": 1e-3, "attraction": 0.3},
        initial_model=str(folder / "tiny"),
        device="cpu",
    )
    client = Runner(f"sqlite:///{folder}/mlflow.db").tracker.client
    client.set_tag(worst(result), NOTE_TAG, f"before {markdown(NASTY)} after")
    return result


def worst(result: IterationResult) -> str:
    return min(result.runs, key=lambda run: run.metrics[MAIN]).run_id


@pytest.fixture(scope="module")
def server(folder: Path, result: IterationResult) -> Iterator[str]:
    """`hooktune ui` on the iteration's store; the address of its pages."""
    port = free_port()
    store = f"sqlite:///{folder}/mlflow.db"
    command = [sys.executable, "-m", "hooktune", "--tracking-uri", store, "ui", "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with started(command, f"{address}/health", folder / "server.log", 180):
        said = (folder / "server.log").read_text()
        assert f"Open {address}/#/experiments" in said
        yield address


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with open_browser(folder) as opened:
        yield opened


def page_of(server: str, run_id: str, result: IterationResult, tab: str = "") -> str:
    return f"{server}/#/experiments/{result.iteration.experiment_id}/runs/{run_id}{tab}"


def test_the_experiments_are_listed(browser: Browser, server: str, result: IterationResult):
    browser.open(f"{server}/#/experiments?workflowType=machine_learning")
    browser.wait_for(str(result.iteration.name), "iteration / initial", f"**{METHOD}** on batch")


def test_the_runs_stand_in_order_behind_the_columns_that_matter(
    browser: Browser, server: str, result: IterationResult
):
    browser.open(f"{server}/#/experiments/{result.iteration.experiment_id}")
    browser.wait_for("The runs, the best one first", "The best run is")
    shown = browser.run(
        "return [...document.links].filter(a => a.href.includes('viewStateShareKey=hooktune'))"
        ".map(a => a.getAttribute('href'))"
    )
    assert view_address(result.iteration) in shown

    browser.open(f"{server}/{view_address(result.iteration)}")
    browser.wait_for("4 matching runs")
    headings = (
        "return [...document.querySelectorAll('[role=columnheader][col-id^=\"metrics.`\"]')]"
        ".sort((a, b) => a.ariaColIndex - b.ariaColIndex).map(a => a.getAttribute('col-id'))"
    )
    columns = wait_until(lambda: browser.run(headings), "the columns")  # as far as there is room
    assert columns[:3] == [
        f"metrics.`{name}`" for name in (MAIN, "test_dist_shift_gap", "test_ndcg_at_10")
    ]
    rows = browser.run(
        "return [...document.querySelectorAll('[role=row][row-id]')]"
        ".sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))"
        ".map(a => a.getAttribute('row-id'))"
    )
    ranked = sorted(result.runs, key=lambda run: -run.metrics[MAIN])
    assert list(dict.fromkeys(rows)) == [run.run_id for run in ranked]


def test_a_runs_page_tells_its_story_and_has_its_model(
    browser: Browser, server: str, result: IterationResult
):
    browser.open(page_of(server, result.best.run_id, result))
    browser.wait_for("The best run of its iteration.", "starting model", MAIN, "learning_rate")
    links = "return [...document.links].map(a => a.href)"
    wait_until(
        lambda: any(f"/models/{result.best.model_id}" in each for each in browser.run(links)),
        "the link to the model",
    )


def test_a_runs_metrics_are_plotted(browser: Browser, server: str, result: IterationResult):
    browser.open(page_of(server, result.best.run_id, result, "/model-metrics"))
    browser.wait_for("fit_seconds", "mean_train_loss")
    points = "return document.querySelectorAll('.js-plotly-plot .scatterlayer .trace').length"
    wait_until(lambda: browser.run(points) >= 3, "the plots")


@pytest.fixture(scope="module")
def report(result: IterationResult, folder: Path) -> str:
    """The address of the kept run's report, as a file."""
    store = Runner(f"sqlite:///{folder}/mlflow.db")
    file = store.tracker.client.download_artifacts(result.best.run_id, REPORT_FILE, str(folder))
    return Path(file).as_uri()


def test_a_report_that_is_printed_before_it_has_drawn_has_its_charts(report: str, tmp_path: Path):
    with open_browser(tmp_path) as browser:
        browser.run_in_new_pages("window.requestIdleCallback = () => 0")
        browser.open(report)
        drawn = """
            const places = [...document.querySelectorAll("[data-chart]")]
            const isDrawn = place => place.querySelector("svg .mark-group")
            return [places.length, places.filter(isDrawn).length]
        """
        charts, first = browser.run(drawn)
        assert charts >= 5
        assert first == 0
        browser.run(f"addEventListener('afterprint', () => window.onPaper = (() => {{{drawn}}})())")
        assert browser.print().startswith(b"%PDF")
        assert browser.run("return window.onPaper") == [charts, charts]


def test_the_report_of_the_kept_run_draws_its_charts_and_asks_nobody(browser: Browser, report: str):
    browser.open(report)
    browser.wait_for(METHOD, "Before and after", "Its model is kept.")
    count = "return document.querySelectorAll(arguments[0]).length"
    charts = browser.run(count, "[data-chart]")
    assert charts >= 5
    wait_until(lambda: browser.run(count, "[data-chart] svg .mark-group") >= charts, "the charts")
    assert "could not be drawn" not in browser.text()
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.run(wide) <= 0


@pytest.mark.parametrize("file", [SIMILARITIES_FILE, EVALUATIONS_FILE])
def test_a_figure_is_shown(browser: Browser, server: str, result: IterationResult, file: str):
    browser.open(page_of(server, result.best.run_id, result, f"/artifacts/{file}"))
    width = f"return Math.max(0, ...[...document.images].filter(i => i.alt == {file!r})" + (
        ".map(i => i.naturalWidth))"
    )
    wait_until(lambda: browser.run(width) > 500, file)


def test_a_hostile_text_is_shown_as_it_is(browser: Browser, server: str, result: IterationResult):
    browser.open(page_of(server, worst(result), result))
    browser.wait_for(f"before {NASTY} after")
