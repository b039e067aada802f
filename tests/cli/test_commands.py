"""The command line: what it imports, prints and answers."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from ports import free_port

import hooktune
from hooktune.cli import main
from hooktune.cli.terminal import interrupt

NO_STORE = "sqlite:///no-store.db"
METHOD = "Default Fine Tuning Method"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], store_uri: str) -> Run:
    """Runs a command on a store of the test's own; returns status, output and messages."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["--tracking-uri", store_uri, *map(str, arguments)])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return call


@pytest.fixture(scope="module")
def first_iteration(
    tmp_path_factory: pytest.TempPathFactory,
    empty_store: Path,
    released_batch: Path,
    tiny_model_folder: Path,
) -> tuple[Path, str]:
    """The database of a store with one iteration, and what `hooktune run --json` printed of it."""
    store, printed = tmp_path_factory.mktemp("tuned") / "mlflow.db", io.StringIO()
    shutil.copy(empty_store, store)
    command = [
        "--tracking-uri", f"sqlite:///{store}", "run", METHOD, released_batch, "--max-runs", 2,
        "--param", "learning_rate=1e-3", "--param", "mini_batch_size=2",
        "--initial-model", tiny_model_folder, "--json",
    ]  # fmt: skip
    with redirect_stdout(printed), pytest.raises(SystemExit) as end:
        main([*map(str, command)])
    assert not end.value.code
    return store, printed.getvalue()


@pytest.fixture
def tuned(first_iteration: tuple[Path, str], store_uri: str) -> dict[str, object]:
    """What `hooktune run --json` printed of the iteration that the test's own store has."""
    store, printed = first_iteration
    shutil.copy(store, store_uri.removeprefix("sqlite:///"))
    return json.loads(printed)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["plugins"], ["run", "--help"], ["--version"], ["--tracking-uri", NO_STORE]],
)
def test_help_and_plugins_import_no_torch_no_mlflow_and_no_plugin(arguments: list[str]):
    script = f"""
import sys
from hooktune.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"torch", "mlflow", "transformers", "sentence_transformers", "hooktune_default",
          "hooktune_metrics"}}
print("IMPORTED", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "IMPORTED []" in done.stdout, done.stdout + done.stderr


def test_importing_hooktune_imports_nothing_heavy():
    script = "import sys, hooktune; print({'torch', 'mlflow', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_can_be_had():
    for name in hooktune.__all__:
        assert getattr(hooktune, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hooktune.nothing


def test_a_run_is_told_as_json(tuned):
    assert tuned["improved"] is True
    assert [run["status"] for run in tuned["runs"]] == ["FINISHED"] * 3
    assert [run["name"] for run in tuned["runs"]][-1] == "average of 2 runs"
    (with_model,) = [run for run in tuned["runs"] if run["model_uri"]]
    assert with_model["run_id"] == tuned["best_run"]


def test_listings_say_the_same_of_the_same_store(tuned, run: Run):
    for command in (["iterations"], ["runs", tuned["batch_id"]], ["best"]):
        first, second = run(*command, "--json"), run(*command, "--json")
        assert first == second
        assert json.loads(first[1])
        status, out, _ = run(*command)
        assert status == 0
        assert METHOD in out


def test_runs_are_shown_beside_the_starting_model(tuned, run: Run):
    _, out, _ = run("runs", tuned["name"])
    assert "starting model" in out
    assert "best" in out
    assert tuned["best_run"] in out


def test_a_report_is_written_of_a_run_and_of_an_iterations_best_one(
    tuned, run: Run, tmp_path: Path
):
    of_run, of_iteration = tmp_path / "run.html", tmp_path / "iteration.html"
    status, out, _ = run("report", tuned["best_run"][:8], of_run)
    assert status == 0
    assert str(of_run) in out
    assert run("report", tuned["batch_id"][:8], of_iteration)[0] == 0
    assert of_run.read_text() == of_iteration.read_text()
    assert f"run {tuned['best_run']}" in of_run.read_text()
    for wanted, file, told in (
        ("nothing", tmp_path / "x.html", "'nothing' is no run either"),
        (tuned["starting_run"], tmp_path / "x.html", "has no report"),
        (tuned["best_run"], tmp_path / "lacking" / "x.html", "cannot be written"),
    ):
        status, _, err = run("report", wanted, file)
        assert (status, told in err) == (2, True), err
        assert not file.exists()


def test_export_writes_a_folder_that_sentence_transformers_loads(tuned, run: Run, tmp_path: Path):
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "exported"
    assert run("export", tuned["best_run"], folder)[0] == 0
    assert SentenceTransformer(str(folder), device="cpu").encode("apple").shape == (32,)

    status, _, err = run("export", tuned["best_run"], folder)
    assert status == 2
    assert "exists already" in err


def test_a_run_without_a_model_is_not_exported(tuned, run: Run, tmp_path: Path):
    other, *_ = [run["run_id"] for run in tuned["runs"] if not run["model_uri"]]
    status, _, err = run("export", other, tmp_path / "out")
    assert status == 2
    assert "has no model" in err


def test_foreign_experiments_change_nothing_that_is_printed(tuned, run: Run, store_uri: str):
    from mlflow import MlflowClient

    commands = (["iterations"], ["iterations", "--json"], ["best"], ["best", "--json"])
    before = [run(*command) for command in commands]
    client = MlflowClient(store_uri)
    for name in (
        "iteration / x",
        "iteration / a / b / c",
        "iteration / M / not-hex",
        "Iteration / M / 65844a671089823652b83d43",
    ):
        client.create_run(client.create_experiment(name))
    assert [run(*command) for command in commands] == before


def test_an_empty_store_is_not_made_by_looking_at_it(tmp_path: Path, capsys):
    database = tmp_path / "none.db"
    with pytest.raises(SystemExit) as end:
        main(["--tracking-uri", f"sqlite:///{database}", "iterations"])
    assert not end.value.code
    assert "no iterations yet" in capsys.readouterr().out
    assert not database.exists()


def test_a_batch_is_shown_with_its_clicks_by_position(make_batch, run: Run):
    _, out, _ = run("batch", "show", make_batch())
    assert "40: " in out
    assert "clicks by position" in out
    assert "█" in out


def test_without_a_command_it_says_where_one_stands(tuned, run: Run):
    status, out, _ = run()
    assert status == 0
    assert f"runs:/{tuned['best_run']}/model" in out
    assert "improved" in out
    assert f"promote '{METHOD}'" in out


def test_without_a_command_and_a_store_it_says_how_to_begin(tmp_path: Path, capsys):
    database = tmp_path / "none.db"
    with pytest.raises(SystemExit):
        main(["--tracking-uri", f"sqlite:///{database}"])
    assert "demo" in capsys.readouterr().out
    assert not database.exists()


def test_the_best_is_told_by_the_metric_that_chose_it(
    run: Run, make_batch, tiny_model_folder: Path
):
    done = run(
        "-q", "run", METHOD, make_batch(), "--max-runs", "1", "--main-metric", "test_mrr",
        "--param", "mini_batch_size=2", "--initial-model", tiny_model_folder,
    )  # fmt: skip
    assert done[0] == 0, done[2]
    assert "run 1/1" not in done[2]
    _, out, _ = run("best")
    assert "test_mrr:max" in out
    assert "test_not_irrelevant_dist_shift" not in out


def test_the_beginning_of_a_batch_id_names_its_iteration(tuned, run: Run):
    assert run("runs", str(tuned["batch_id"])[:6]) == run("runs", tuned["name"])


def test_the_beginning_of_a_batch_id_serves_to_compare(tuned, run: Run):
    assert run("compare", str(tuned["batch_id"])[:6]) == run("compare", str(tuned["batch_id"]))
    status, _, err = run("compare", "not-a-batch")
    assert status == 2
    assert "'not-a-batch' is no folder" in err


def test_the_hyper_parameters_of_a_method_are_shown_without_a_store(run: Run, tmp_path: Path):
    status, out, _ = run("params", METHOD)
    assert status == 0
    assert "learning_rate" in out
    assert "1e-05 to 4e-05, logarithmic" in out
    assert "one of 3, 5, 10" in out
    _, out, _ = run("params", METHOD, "--json")
    rate = next(row for row in json.loads(out) if row["name"] == "learning_rate")
    assert rate["type"] == "float"
    assert rate["search"]["log"] is True
    assert rate["default"] == 2e-5
    assert run("params", "Defualt Fine Tuning Method")[0] == 2


def test_the_hyper_parameters_of_a_method_in_a_file_are_shown(run: Run, tmp_path: Path):
    file = tmp_path / "none_method.py"
    file.write_text(
        "from hooktune import hookimpl\n\n\n@hookimpl\ndef fit_batch(model):\n    return model\n"
    )
    assert run("params", file)[:2] == (0, "It has no hyper-parameters.\n")


@pytest.mark.parametrize("group", [[], ["batch"]])
def test_no_summary_of_a_command_is_cut_in_the_help(group: list[str], run: Run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(*group, "--help")
    assert "Commands:" in out
    assert "..." not in out.partition("Commands:")[2]


def test_the_password_of_a_store_is_no_argument_of_its_server(monkeypatch, capsys):
    called: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, arguments: called.append(arguments))
    monkeypatch.delenv("MLFLOW_BACKEND_STORE_URI", raising=False)
    uri = "postgresql://me:secret@127.0.0.1/store"
    with pytest.raises(SystemExit):
        main(["--tracking-uri", uri, "ui", "--port", str(free_port())])
    (arguments,) = called
    assert not [argument for argument in arguments if "secret" in argument]
    assert os.environ["MLFLOW_BACKEND_STORE_URI"] == uri
    printed = capsys.readouterr()
    assert "secret" not in printed.out + printed.err


def test_wrong_words_end_with_status_2(run: Run):
    assert run("runn")[0] == 2
    assert run("run")[0] == 2


def test_who_is_told_to_end_twice_ends_well():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupt()
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
