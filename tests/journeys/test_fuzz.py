"""Session files and names that a fuzzer makes up: a clear error or a right result, nothing else.

HOOKTUNE_FUZZ says how many session files to try, 200 by default; of names there are a tenth.
"""

import contextlib
import gzip
import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from tracked import METHOD, finish

from hooktune.cli import main
from hooktune.contract.settings import IterationSettings
from hooktune.data.assembly import SESSION_WITH_LOST_CLICK, SESSION_WITHOUT_RESULT
from hooktune.data.jsonl import read_sessions
from hooktune.data.log_schema import CLICK
from hooktune.data.manifest import read_manifest
from hooktune.data.release import open_batch
from hooktune.errors import RequestError
from hooktune.iteration import progress_display
from hooktune.naming import IterationName, check_method_name, parse_experiment_name
from hooktune.testing import made_up_log
from hooktune.tracking import Tracker

FILES = int(os.environ.get("HOOKTUNE_FUZZ", "200"))
NAMES = max(FILES // 10, 1)
many = settings(
    deadline=None,
    max_examples=FILES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def hooktune(*arguments: object) -> tuple[int, str, str]:
    """Runs a command; returns its exit status, its output and its messages."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0), out.getvalue(), err.getvalue()


def assert_clear(status: int, said: str) -> None:
    """An error is a wrong request, told in one line that no terminal can mistake."""
    assert status == 2, said
    assert said.startswith(("Error: ", "Usage: ")), said
    assert "Traceback" not in said
    assert all(line.isprintable() for line in said.split("\n")), said


# Session files.

SESSIONS, ITEMS = made_up_log(0, sessions=5, items=12)
ITEMS = ITEMS[:-2]  # so that some results are of unknown items
TEXTS = {item["object_id"]: item["text"] for item in ITEMS}
ODD_TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "\x00", "\ud800", "\ufeff", "\u202e", "NaN", "1e999", "x" * 600, "{}", "\r\n"]
    ),
    st.text(max_size=8),
)
ODD_NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([10**400, -(10**40), 2**63, 1e308, -0.0, float("nan"), float("inf"), 5e-324]),
    st.floats(),
)
ODD_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), ODD_NUMBERS, ODD_TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(ODD_TEXTS, inner, max_size=3)
    ),
    max_leaves=5,
)
ODD_LINES = st.one_of(
    ODD_VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=30),
    st.sampled_from(
        [
            b"",
            b"  \t",
            b"{",
            b"}{",
            b'{"session_id": "a", "session_id": "b"}',
            b'{"a": 1}{"a": 2}',
            b"[" * 5000 + b"]" * 5000,
            b'{"a":' * 300 + b"1" + b"}" * 300,
            b'{"session_id": ' + b"9" * 5000 + b"}",
            b"\xef\xbb\xbf{}",
            b"\xff\xfe{\x00}\x00",
            b'{"session_id": "\\ud800", "search_query": "q", "search_results": []}',
            b"\x00" * 50,
        ]
    ),
)


def objects_in(session: dict[str, Any]) -> list[dict[str, Any]]:
    lists = (session.get("search_results"), session.get("events"))
    entries = [entry for each in lists if isinstance(each, list) for entry in each]
    return [session, *(entry for entry in entries if isinstance(entry, dict))]


@st.composite
def changed_lines(draw: Callable[..., Any]) -> list[bytes]:
    """The lines of a good log, some of them with a field changed, dropped or put in between."""
    sessions = json.loads(json.dumps(SESSIONS[: draw(st.integers(1, len(SESSIONS)))]))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        holder = draw(st.sampled_from(objects_in(draw(st.sampled_from(sessions)))))
        name = draw(st.sampled_from([*holder, "more"]))
        if draw(st.booleans()):
            holder[name] = draw(ODD_VALUES)
        else:
            holder.pop(name, None)
    ascii_only = draw(st.booleans())
    lines = [
        json.dumps(session, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        for session in sessions
    ]
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1]))):
        lines.insert(draw(st.integers(0, len(lines))), draw(ODD_LINES))
    return lines


@st.composite
def files(draw: Callable[..., Any]) -> bytes:
    """A log, with its bytes flipped, cut, doubled, or written in another encoding."""
    lines = draw(changed_lines())
    content = draw(st.sampled_from([*[b"\n"] * 8, b"\r\n", b"\n\n", b"\r"])).join(lines)
    content += draw(st.sampled_from([b"\n", b""]))
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 3]))):
        place = draw(st.integers(0, len(content)))
        removed = draw(st.sampled_from([0, 1, 5]))
        content = content[:place] + draw(st.binary(max_size=3)) + content[place + removed :]
    whole = draw(st.integers(0, 40))
    if whole == 0:
        return gzip.compress(content, mtime=0)
    if whole == 1:
        return content.decode("utf-8", "replace").encode("utf-16")
    if whole == 2:
        return b"\xef\xbb\xbf" + content
    if whole == 3:
        return content[: draw(st.integers(0, len(content)))]
    return content


@pytest.fixture(scope="module", autouse=True)
def no_progress() -> Iterator[None]:
    """What is told of work that lasts is none of it, however long a machine stands still."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(progress_display, "_SAY_AFTER", math.inf)
        yield


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the items of the good log."""
    folder = tmp_path_factory.mktemp("fuzz")
    write(folder / "items.jsonl", ITEMS)
    write(folder / "sessions.jsonl", SESSIONS)
    return folder


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def release(desk: Path, log: Path, items: Path) -> tuple[int, str]:
    """Releases a log; a refusal leaves nothing behind."""
    before = set(desk.iterdir())
    status, printed, said = hooktune(
        "batch", "release", log, "--items", items, "--to", desk / "batch"
    )
    told, _, said = said.partition("\n")
    assert " is read as embedding-studio: " in told
    if status:
        assert_clear(status, said)
        assert printed == ""
        assert set(desk.iterdir()) == before
    else:
        assert printed == f"{read_manifest(desk / 'batch').batch_id}\n"
    return status, said


@many
@given(content=files())
def test_a_fuzzed_log_is_released_rightly_or_refused(desk: Path, content: bytes):
    log = desk / "fuzzed.jsonl"
    log.write_bytes(content)
    status, said = release(desk, log, desk / "items.jsonl")
    event("refused" if status else "released")
    if status:
        assert "fuzzed.jsonl" in said
        return
    # What pydantic reads, a line at a time and without any column, is what is right.
    stated = {session.session_id: session for session in read_sessions(log)}
    batch, manifest = open_batch(desk / "batch"), read_manifest(desk / "batch")
    shutil.rmtree(desk / "batch")
    reasons = (SESSION_WITH_LOST_CLICK, SESSION_WITHOUT_RESULT)
    left_out = sum(manifest.set_aside.get(reason, 0) for reason in reasons)
    sessions = batch.sessions
    assert len(sessions) + left_out == len(stated)
    for place, session_id in enumerate(sessions.session_ids.to_pylist()):
        session = stated[session_id]
        results = slice(*sessions.offsets[place : place + 2])
        shown = [batch.object_ids[each].as_py() for each in sessions.item_index[results].tolist()]
        named = dict.fromkeys(result.object_id for result in session.search_results)
        clicks = [each.object_id for each in session.events if each.event_type == CLICK]
        assert sessions.queries[int(sessions.query_index[place])].as_py() == session.search_query
        assert shown == [name for name in named if name in TEXTS]
        assert sessions.clicks[results].tolist() == [clicks.count(name) for name in shown]


@settings(many, max_examples=NAMES)
@given(content=files())
def test_fuzzed_items_are_released_rightly_or_refused(desk: Path, content: bytes):
    items = desk / "fuzzed.jsonl"
    texts = content.replace(b"search_query", b"text").replace(b"session_id", b"object_id")
    items.write_bytes((desk / "items.jsonl").read_bytes() + texts)
    status, said = release(desk, desk / "sessions.jsonl", items)
    event("refused" if status else "released")
    if status:
        assert "fuzzed.jsonl" in said
        return
    kept = dict(zip(*columns(desk / "batch"), strict=True))
    shutil.rmtree(desk / "batch")
    assert kept == {name: text for name, text in TEXTS.items() if name in kept}


def columns(folder: Path) -> tuple[list[str], list[str]]:
    batch = open_batch(folder)
    return batch.object_ids.to_pylist(), batch.sessions.items.to_pylist()


# Names of experiments and of methods.

PARTS = st.one_of(
    st.sampled_from(
        ["iteration", "Iteration", "initial", "", " ", "/", "M", METHOD, f"{1:024x}", "x" * 480,
         "%", "_", "' OR 1=1 --", '"', "`", "\\", "a\x00b", "\ud800", "\u202e", "-v", "--json",
         "e\u0301", "\xe9", "..", "models:/m", "\x1b[2J", "\n"]
    ),
    st.text(max_size=6),
)  # fmt: skip
EXPERIMENT_NAMES = st.one_of(
    st.lists(PARTS, max_size=4).map(" / ".join),
    PARTS.map(lambda part: f"iteration / {part} / {7:024x}"),
    st.text(max_size=40),
)
COMMANDS = ("runs", "best", "compare", "rollback", "promote")
LISTINGS = (("iterations", "--json"), ("runs", f"{1:024x}", "--json"), ("best", "--json"),
            ("compare", f"{1:024x}", "--json"))  # fmt: skip


@pytest.fixture
def tracker(store_uri: str) -> Tracker:
    """A store with one iteration."""
    tracker = Tracker(store_uri)
    finish(tracker, 1, 0.1, 0.2)
    return tracker


def listed(tracker: Tracker) -> list[tuple[int, str, str]]:
    return [hooktune("--tracking-uri", tracker.tracking_uri, *each) for each in LISTINGS]


def test_experiments_of_fuzzed_names_change_nothing_that_is_listed(tracker: Tracker):
    before = listed(tracker)
    assert [status for status, _, _ in before] == [0] * len(LISTINGS)
    created = []

    @settings(many, max_examples=NAMES)
    @given(name=EXPERIMENT_NAMES)
    def create(name: str) -> None:
        with contextlib.suppress(Exception):  # MLflow refuses some names, and cannot store others
            created.append(tracker.client.create_experiment(name))
            tracker.client.create_run(created[-1], run_name="initial_model")

    create()
    assert len(created) > NAMES / 4
    assert listed(tracker) == before


def test_fuzzed_names_that_are_asked_for_are_found_or_refused(tracker: Tracker):
    before = listed(tracker)

    @settings(many, max_examples=NAMES)
    @given(name=EXPERIMENT_NAMES, command=st.sampled_from(COMMANDS))
    def ask(name: str, command: str) -> None:
        assume((command, name) != ("promote", METHOD))  # it is known, and its ranking is not
        status, _, said = hooktune("--tracking-uri", tracker.tracking_uri, command, "--", name)
        if status:
            assert_clear(status, said)
        else:
            assert name in (METHOD, f"{1:024x}", f"iteration / {METHOD} / {1:024x}")

    ask()
    assert listed(tracker) == before


@settings(many, max_examples=10 * NAMES)
@given(name=EXPERIMENT_NAMES)
def test_a_fuzzed_name_that_is_an_iterations_is_read_back_exactly(name: str):
    parsed = parse_experiment_name(name)
    assert parsed is None or str(parsed) == name


def test_a_method_of_a_fuzzed_name_has_its_iterations(tracker: Tracker):
    start = tracker.starting_model(METHOD)

    @settings(many, max_examples=NAMES)
    @given(method=PARTS | st.text(min_size=1))
    def create(method: str) -> None:
        try:
            name = IterationName(check_method_name(method), f"{2:024x}")
        except RequestError:
            return
        iteration = tracker.create_iteration(name, IterationSettings(), start.run_id)
        assert iteration.name == name
        assert tracker.iterations(method)[-1].name == name

    create()
    assert hooktune("--tracking-uri", tracker.tracking_uri, "iterations")[0] == 0
