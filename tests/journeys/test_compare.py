"""Several methods on one batch: they are run one after the other and compared."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from hooktune import Runner
from hooktune.cli import main

PUSHER = """
import torch
from hooktune import hookimpl

NAME = {name!r}
PUSH = {push}


@hookimpl
def upload_initial_model(settings):
    from sentence_transformers import SentenceTransformer
    return SentenceTransformer(settings.initial_model, device=settings.device)


@hookimpl
def fit_batch(run, model):
    if PUSH is None:
        raise ValueError("out of ideas")
    run.log({{"train_loss": 1.0}}, 1)
    with torch.no_grad():
        model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += PUSH
    return model
"""


@pytest.fixture
def method(tmp_path: Path) -> Callable[[str, float | None], Path]:
    """Writes a method that moves all similarities up, or one that fails."""

    def write(name: str, push: float | None) -> Path:
        file = tmp_path / f"{name}.py"
        file.write_text(PUSHER.format(name=name, push=push))
        return file

    return write


@pytest.fixture
def hooktune(capsys: pytest.CaptureFixture[str], store_uri: str) -> Callable[..., tuple]:
    """Runs a command; returns its exit status, its output and its messages."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["--tracking-uri", store_uri, *map(str, arguments)])
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    logger = logging.getLogger("hooktune")
    handlers, propagate, level = logger.handlers, logger.propagate, logger.level
    yield run
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def test_several_methods_run_and_one_that_fails_stops_no_other(
    hooktune, method, make_batch, tiny_model_folder, tmp_path
):
    batch = make_batch()
    methods = [method("Broken", None), method("Weak", 0.2), method("Strong", 0.5)]
    status, output, messages = hooktune(
        "run", *methods, batch, "--initial-model", tiny_model_folder, "--device", "cpu"
    )
    assert status == 1
    assert "Error: 1 of 3 methods have failed." in messages
    assert "No run of iteration / Broken /" in messages
    assert "Strong is the winner, by test_not_irrelevant_dist_shift." in output

    plot, report = tmp_path / "plot.png", tmp_path / "report.html"
    status, output, _ = hooktune("compare", batch, "--plot", plot, "--report", report)
    assert status == 0
    assert plot.exists()
    page = report.read_text("utf-8")
    assert "Strong is the winner, by test_not_irrelevant_dist_shift." in page
    assert all(title in page for title in ("The methods", "Against each other", "What to mind"))
    assert hooktune("compare", batch, "--report", tmp_path)[0] == 2
    assert "winner" in next(line for line in output.splitlines() if " Strong " in line)

    batch_id = json.loads((batch / "manifest.json").read_text())["batch_id"]
    read = json.loads(hooktune("compare", batch_id, "--json")[1])
    assert (read["winner"], read["comparable"]) == ("Strong", True)
    assert [each["method"] for each in read["methods"]] == ["Strong", "Weak", "Broken"]
    assert read["methods"][0]["fit_seconds"] >= 0
    assert len({str(each["starting_metrics"]) for each in read["methods"]}) == 1

    status, again, _ = hooktune("run", *methods[1:], batch, "--device", "cpu", "--json")
    assert status == 0
    assert json.loads(again) == read


def test_one_unknown_method_among_several_is_refused_before_anything_is_run(
    hooktune, method, make_batch, store_uri
):
    status, _, messages = hooktune("run", method("Weak", 0.2), "Missing", make_batch())
    assert status == 2
    assert "There is no method 'Missing'" in messages
    assert Runner(store_uri).tracker.iterations() == []


def test_a_choice_that_does_not_fit_one_of_the_methods_is_refused_before_anything_is_run(
    hooktune, method, make_batch, store_uri
):
    methods = "Default Fine Tuning Method", method("Weak", 0.2)
    status, _, messages = hooktune("run", *methods, make_batch(), "--param", "epochs=1")
    assert status == 2
    assert "epochs" in messages
    assert Runner(store_uri).tracker.iterations() == []


def test_all_methods_that_there_are_run_from_python(
    method, make_batch, tiny_model_folder, store_uri
):
    runner = Runner(store_uri, plugins=[method("Weak", 0.2), method("Strong", 0.5)])
    outcomes = runner.run_all(
        None, make_batch(), max_runs=1, initial_model=str(tiny_model_folder), device="cpu"
    )
    done = {each.method: each.result.best is not None for each in outcomes}
    assert done["Weak"]
    assert done["Strong"]
    assert "Default Fine Tuning Method" in done


def test_comparing_what_is_no_batch_is_refused(hooktune, tmp_path):
    for wrong in ("0" * 24, tmp_path, tmp_path / "missing"):
        status, output, messages = hooktune("compare", wrong)
        assert (status, output) == (2, "")
        assert messages.startswith("Error: ")
