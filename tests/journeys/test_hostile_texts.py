"""Queries and items that would be markup, commands of a terminal, or far too long: all harmless."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hooktune.cli import main

METHOD = "Default Fine Tuning Method"
NASTY = "<script>alert(1)</script>\x1b[2J\x07\r\x9b2J # **big** | [x](javascript:alert) `c` \u202e"


@pytest.fixture
def hooktune(capfd: pytest.CaptureFixture[str], store_uri: str) -> Callable[..., tuple[int, str]]:
    """Runs a command; returns its exit status and all it printed, which must be harmless."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(["-v", "--tracking-uri", store_uri, *map(str, arguments)])
        printed = capfd.readouterr()
        for line in (printed.out + printed.err).split("\n"):
            # Of transformers and MLflow, and of no text.
            is_bar = line.startswith(("\rLoading weights", "\rDownloading artifacts"))
            assert line.isprintable() or is_bar, repr(line[:300])
            assert len(line) < 10_000
        return int(end.value.code or 0), printed.out + printed.err

    return run


@pytest.fixture
def log(write_log, tmp_path: Path) -> tuple[Path, Path]:
    """A log of such texts; one query and one item have 100 kB."""
    paths = write_log()
    sessions, items = (
        [json.loads(line) for line in path.read_text().split("\n")[:-1]] for path in paths
    )
    for session in sessions:
        session["session_id"] = f"{NASTY}{session['session_id']}"
        session["search_query"] = f"{session['search_query']} {NASTY}"
        session["user_id"] = NASTY
    sessions[0]["search_query"] = NASTY * 2000
    for item in items:
        item["text"] = f"{item['text']} {NASTY}"
    items[0]["text"] = NASTY * 2000
    for path, rows in zip(paths, (sessions, items), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


def test_hostile_texts_go_the_whole_way(
    hooktune, log: tuple[Path, Path], tmp_path: Path, tiny_model_folder: Path, store_uri: str
):
    batch = tmp_path / "batch"
    release = ("batch", "release", log[0], "--items", log[1], "--to", batch)
    assert hooktune(*release)[0] == 0
    assert hooktune("batch", "show", batch)[0] == 0
    assert hooktune("batch", "show", batch, "--json")[0] == 0
    status, said = hooktune(
        "run", METHOD, batch, "--max-runs", "1", "--param", "mini_batch_size=4",
        "--initial-model", tiny_model_folder, "--device", "cpu",
    )  # fmt: skip
    assert status == 0, said
    (listed,) = json.loads(hooktune("iterations", "--json")[1])
    for command in (("runs", listed["batch_id"]), ("best",), ("promote", "--force")):
        assert hooktune(*command)[0] == 0

    client = MlflowClient(store_uri)
    experiments = client.search_experiments()
    runs = client.search_runs([each.experiment_id for each in experiments])
    told = [tag for each in experiments for tag in each.tags.values()]
    told += [tag for run in runs for tag in run.data.tags.values()]
    assert not any("<script" in text for text in told)


def test_an_error_quotes_them_harmlessly(hooktune, log: tuple[Path, Path], tmp_path: Path):
    lines = log[0].read_text().splitlines(keepends=True)
    broken = {
        "twice": lines[0] * 2,
        "an event elsewhere": json.dumps(
            json.loads(lines[0]) | {"events": [{"object_id": NASTY, "event_type": NASTY}]}
        ),
        "a query that is none": json.dumps(json.loads(lines[0]) | {"search_query": [NASTY * 2000]}),
        "a field too long": json.dumps(json.loads(lines[0]) | {"session_id": NASTY * 2000}),
        "no JSON": NASTY * 2000,
    }
    for text in broken.values():
        log[0].write_text(text)
        status, said = hooktune(
            "batch", "release", log[0], "--items", log[1], "--to", tmp_path / "batch"
        )
        assert status == 2
        assert "line" in said


METHOD_THAT_RAISES = """
import hooktune

NAME = "Half"


@hooktune.hookimpl
def fit_batch(run):
    raise ValueError("half a character: \\ud800")


@hooktune.hookimpl(wrapper=True, specname="fit_batch")
def observe():
    try:
        return (yield)
    finally:
        raise RuntimeError("another half: \\udfff")
"""


def test_an_error_that_no_file_can_hold_fails_its_run_alone(
    hooktune,
    make_batch: Callable[..., Path],
    tmp_path: Path,
    tiny_model_folder: Path,
    store_uri: str,
):
    method = tmp_path / "half.py"
    method.write_text(METHOD_THAT_RAISES)
    status, said = hooktune(
        "run", method, make_batch(), "--initial-model", tiny_model_folder, "--device", "cpu"
    )
    assert status == 1
    assert r"half a character: \ud800" in said
    client = MlflowClient(store_uri)
    (experiment,) = client.search_experiments(filter_string="name LIKE 'iteration / Half%'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert r"half a character: \ud800" in run.data.tags["hooktune.failure"]
    assert r"another half: \udfff" in run.data.tags["hooktune.plugin_failure.Half"]
    assert "traceback.txt" in [file.path for file in client.list_artifacts(run.info.run_id)]
