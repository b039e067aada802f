"""Make the screenshots of docs/mlflow.md anew, of the best run of a store's last iteration.

    PYTHONPATH=tests python docs/screenshots.py sqlite:///mlflow.db

It needs Debian's chromium and chromium-driver.
"""

import sys
import tempfile
import time
from pathlib import Path

from browser import Browser, free_port, open_browser, started

from hooktune.evaluation.figures import SIMILARITIES_FILE
from hooktune.tracking import Tracker
from hooktune.tracking.saved_view import TRAINING_PAGES, view_address

PICTURES = Path(__file__).parent / "pictures"
ASSISTANT = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"  # it would cover a quarter of the page

# Types into the field above the plots of a run, where there is one.
SEARCH = """
const field = document.querySelector("input[placeholder*='metric charts']");
if (field) {
    const property = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value");
    property.set.call(field, arguments[0]);
    field.dispatchEvent(new Event("input", {bubbles: true}));
}
"""

# Where the store of this machine lies concerns nobody.
HIDE_PATHS = """
for (const each of document.querySelectorAll("*")) {
    if (!each.children.length && each.textContent.includes("file://")) { each.textContent = ""; }
}
"""


def main() -> None:
    tracker = Tracker(sys.argv[1])
    iteration = [iteration for iteration in tracker.iterations() if iteration.best_run][-1]
    runs = f"#/experiments/{iteration.experiment_id}/runs"
    run = f"{runs}/{iteration.best_run}"
    pages = {
        "runs": (view_address(iteration), "matching runs"),
        "metrics": (f"{run}/model-metrics?{TRAINING_PAGES}", "fit_seconds"),
        "figure": (f"{run}/artifacts/{SIMILARITIES_FILE}?{TRAINING_PAGES}", SIMILARITIES_FILE),
    }
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "hooktune", "--tracking-uri", tracker.tracking_uri, "ui"]
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        started(
            [*command, "--port", str(port)], f"{address}/health", Path(folder, "server.log"), 180
        ),
        open_browser(Path(folder)) as browser,
    ):
        browser.open(address)
        browser.run("localStorage.setItem(arguments[0], 'true')", ASSISTANT)
        for name, (page, text) in pages.items():
            take(browser, f"{address}/{page}", text, PICTURES / f"{name}.png")


def take(browser: Browser, page: str, text: str, file: Path) -> None:
    """Make a screenshot of a page that shows a text, when its plots have been drawn."""
    browser.open(page)
    browser.wait_for(text)
    browser.run(SEARCH, "test_")
    time.sleep(4)
    browser.run(HIDE_PATHS)
    browser.screenshot(file)
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
