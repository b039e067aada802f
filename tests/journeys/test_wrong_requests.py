"""What a wrong request meets: a clear message, exit status 2, and a store that stays as it was."""

import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hooktune.cli import main

METHOD = "Default Fine Tuning Method"


@pytest.fixture
def hooktune(capsys: pytest.CaptureFixture[str], store_uri: str) -> Callable[..., tuple[int, str]]:
    """Runs a command on a store of the test's own; returns its exit status and all it printed."""

    def run(*arguments: str | Path, store: str = store_uri) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(["--tracking-uri", store, *map(str, arguments)])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out + printed.err

    return run


@pytest.fixture
def store_digest(tmp_path: Path) -> Callable[[], str]:
    return lambda: hashlib.sha256((tmp_path / "mlflow.db").read_bytes()).hexdigest()


def session(**changes: object) -> dict[str, object]:
    return {
        "session_id": "s1",
        "search_query": "apple",
        "search_results": [{"object_id": "1"}, {"object_id": "2"}],
        "events": [{"object_id": "1", "event_type": "click"}],
    } | changes


SESSIONS_THAT_ARE_WRONG = {
    "an event on a result that was not shown": (
        [session(), session(session_id="s2", events=[{"object_id": "9", "event_type": "click"}])],
        ["sessions.jsonl", "line 2", "s2", "'9'", "not shown"],
    ),
    "a duplicate session id": (
        [session(), session()],
        ["sessions.jsonl", "line 2", "s1", "line 1"],
    ),
    "an empty query": ([session(search_query="  ")], ["sessions.jsonl", "line 1", "search_query"]),
}


@pytest.fixture
def release(hooktune, tmp_path: Path) -> Callable[[str], tuple[int, str]]:
    """Releases a log of these lines, over two items."""

    def run(lines: str, items: tuple[str, ...] = ("1", "2")) -> tuple[int, str]:
        log, listed = tmp_path / "sessions.jsonl", tmp_path / "items.jsonl"
        log.write_text(lines)
        listed.write_text("\n".join(json.dumps({"object_id": i, "text": i}) for i in items))
        return hooktune("batch", "release", log, "--items", listed, "--to", tmp_path / "new")

    return run


@pytest.mark.parametrize("wrong", SESSIONS_THAT_ARE_WRONG)
def test_a_log_with_a_wrong_session_is_refused(wrong: str, release, tmp_path: Path):
    sessions, named = SESSIONS_THAT_ARE_WRONG[wrong]
    status, said = release("\n".join(map(json.dumps, sessions)))

    assert status == 2
    assert all(part in said for part in named), said
    assert not (tmp_path / "new").exists()


def test_a_line_that_is_not_json_is_named(release, tmp_path: Path):
    status, said = release(json.dumps(session()) + "\n{oops\n")

    assert status == 2
    assert "sessions.jsonl, line 2" in said
    assert not (tmp_path / "new").exists()


def test_a_result_without_its_item_is_set_aside_and_counted(release):
    shown = [{"object_id": "1"}, {"object_id": "2"}, {"object_id": "lost"}]
    status, said = release(json.dumps(session(search_results=shown)))

    assert status == 0
    assert "set aside: 1" in said


def test_nothing_left_is_an_error(release, tmp_path: Path):
    status, said = release(json.dumps(session()), items=("7",))

    assert status == 2
    assert "Nothing is left" in said
    assert not (tmp_path / "new").exists()


def test_no_such_method(hooktune, make_batch, store_digest):
    before = store_digest()
    status, said = hooktune("run", "Defualt Fine Tuning Metod", make_batch())

    assert (status, store_digest()) == (2, before)
    assert "Did you mean 'Default Fine Tuning Method'?" in said


@pytest.mark.parametrize(
    ("param", "named"),
    [
        ("learning_rat=1e-5", ["learning_rat", "Did you mean 'learning_rate'?"]),
        ("learning_rate=quick", ["learning_rate", "quick"]),
        ("epochs=0", ["epochs", "0", "1"]),
        ("epochs", ["NAME=VALUE"]),
    ],
)
def test_an_unknown_or_ill_typed_parameter(
    hooktune, make_batch, store_digest, tiny_model_folder: Path, param: str, named: list[str]
):
    before = store_digest()
    status, said = hooktune(
        "run", METHOD, make_batch(), "--param", param, "--initial-model", tiny_model_folder
    )

    assert (status, store_digest()) == (2, before)
    assert all(part in said for part in named), said


def test_a_batch_folder_that_was_changed_by_hand(hooktune, make_batch, store_digest):
    batch = make_batch()
    manifest = batch / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace('"sessions":40', '"sessions":41'))
    stated = json.loads(manifest.read_text())
    stated["counts"]["sessions"] = 41
    manifest.write_text(json.dumps(stated))
    before = store_digest()
    status, said = hooktune("run", METHOD, batch)

    assert (status, store_digest()) == (2, before)
    assert "changed" in said


def test_a_batch_with_only_irrelevant_sessions(hooktune, write_log, store_digest, tmp_path: Path):
    log, items = write_log()
    unclicked = [json.loads(line) | {"events": []} for line in log.read_text().splitlines()]
    log.write_text("\n".join(map(json.dumps, unclicked)))
    assert hooktune("batch", "release", log, "--items", items, "--to", tmp_path / "b")[0] == 0
    before = store_digest()
    status, said = hooktune("run", METHOD, tmp_path / "b")

    assert (status, store_digest()) == (2, before)
    assert "have a click" in said


def test_a_main_metric_that_nobody_computes(
    hooktune, make_batch, store_digest, tiny_model_folder: Path
):
    before = store_digest()
    status, said = hooktune(
        "run", METHOD, make_batch(), "--main-metric", "test_fun", "--initial-model",
        tiny_model_folder,
    )  # fmt: skip

    assert (status, store_digest()) == (2, before)
    assert "test_fun" in said
    assert "test_ndcg_at_10" in said


def test_what_an_iteration_is_about_cannot_be_changed(
    hooktune, make_batch, tiny_model_folder: Path
):
    run = ("run", METHOD, make_batch(), "--max-runs", "1", "--param", "mini_batch_size=2")
    assert hooktune(*run, "--initial-model", tiny_model_folder)[0] == 0
    for choice in (("--seed", "7"), ("--test-ratio", "0.5"), ("--main-metric", "test_mrr")):
        status, said = hooktune(*run, *choice)
        assert status == 2
        assert "was begun with" in said
    status, said = hooktune(*run, "--from", "0" * 32)
    assert status == 2
    assert "no run" in said


def test_a_server_that_is_down_is_told_quickly(hooktune, make_batch):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    began = time.monotonic()
    status, said = hooktune("run", METHOD, make_batch(), store=f"http://127.0.0.1:{port}")

    assert status == 2
    assert time.monotonic() - began < 15
    assert f"127.0.0.1:{port} cannot be reached" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no_such_file.py", "BATCH"], "no_such_file.py cannot be read"),
        (["No Such Method", "BATCH"], "no method 'No Such Method'"),
        ([METHOD, "no_such_folder"], "no_such_folder does not exist"),
        ([METHOD, __file__], "is not a folder"),
        (["some_method.py"], "Name a METHOD and a DIR; only 'some_method.py' is named"),
    ],
)
def test_a_wrong_method_or_folder_is_told_before_torch_is_imported(
    make_batch, words: list[str], said: str
):
    arguments = [str(make_batch()) if word == "BATCH" else word for word in words]
    assert said in refused_without_torch("run", *arguments)


def test_a_method_without_a_champion_is_told_before_torch_is_imported(store_uri: str):
    said = refused_without_torch("--tracking-uri", store_uri, "rollback", METHOD)
    assert "has no champion" in said


def refused_without_torch(*arguments: str) -> str:
    """Refuse a request in a process of its own that does not import torch; return what it says."""
    script = (
        "import sys\nfrom hooktune.cli import main\n"
        f"try:\n    main({list(arguments)!r})\n"
        "except SystemExit as end:\n    print(end.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "2 False\n"
    return done.stderr


@pytest.mark.parametrize("devices", ["1", "2"])
def test_a_device_that_is_not_there_is_named(hooktune, make_batch, store_digest, devices: str):
    before = store_digest()
    status, said = hooktune("run", METHOD, make_batch(), "--device", "gpu", "--devices", devices)

    assert (status, store_digest()) == (2, before)
    assert "The device 'gpu' cannot be used" in said
    assert "--device" in said


def test_a_port_that_is_taken_or_is_none_is_refused(hooktune):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = hooktune("ui", "--port", port)
    assert status == 2
    assert f"The port {port} cannot be had" in said
    assert hooktune("ui", "--port", 0)[0] == hooktune("ui", "--port", 99999)[0] == 2


def test_a_file_is_refused_where_a_folder_is_wanted(hooktune, make_batch, tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    for arguments in (
        ("--spool", file, "sync"),
        ("demo", "--to", file, "--model", tmp_path),
        ("new", "Some Method", "--to", file),
        ("batch", "show", file),
    ):
        status, said = hooktune(*arguments)
        assert status == 2, arguments
        assert "file" in said


@pytest.mark.parametrize("wrong", [("--seed", "-1"), ("--max-runs", "0")])
def test_the_demo_checks_what_is_asked_for_before_it_makes_anything(
    hooktune, tmp_path: Path, wrong: tuple[str, str]
):
    status, said = hooktune("demo", "--to", tmp_path / "demo", "--model", "none", *wrong)
    assert status == 2
    assert wrong[1] in said
    assert not (tmp_path / "demo").exists()


def test_no_such_iteration_run_or_folder(hooktune, tmp_path: Path):
    assert hooktune("runs", "iteration / x")[0] == 2
    assert hooktune("export", "f" * 32, tmp_path / "out")[0] == 2
    assert hooktune("batch", "show", tmp_path / "nowhere")[0] == 2
    assert hooktune("best", METHOD)[0] == 2


@pytest.mark.parametrize("command", [(), ("iterations",), ("best", METHOD), ("sync",)])
def test_a_store_in_a_folder_that_is_not_there_is_refused_and_not_taken_for_empty(
    hooktune, tmp_path: Path, command: tuple[str, ...]
):
    status, said = hooktune(*command, store=f"sqlite:///{tmp_path}/no/mlflow.db")
    assert status == 2
    assert f"there is no folder {tmp_path}/no" in said
    assert not (tmp_path / "no").exists()
