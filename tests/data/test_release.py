import copy
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hooktune.contract import json_lines
from hooktune.data import assembly, content, parquet, release
from hooktune.data.assembly import (
    REPEATED_RESULT,
    RESULT_WITHOUT_ITEM,
    SESSION_WITH_LOST_CLICK,
    SESSION_WITHOUT_RESULT,
)
from hooktune.data.manifest import FORMAT_VERSION, BatchManifest, read_manifest
from hooktune.data.release import open_batch
from hooktune.errors import DataError, RequestError
from hooktune.iteration.log_release import release_batch
from hooktune.naming import is_batch_id
from hooktune.testing import made_up_log

Lines = list[dict[str, Any]]


def session(name: str, results: str, clicks: str = "", query: str = "q") -> dict[str, Any]:
    """Make a session that shows results named by a letter each, and clicks on some of them."""
    return {
        "session_id": name,
        "search_query": query,
        "search_results": [{"object_id": letter} for letter in results],
        "events": [{"object_id": letter} for letter in clicks],
    }


def items_named(letters: str) -> Lines:
    return [{"object_id": letter, "text": f"text of {letter}"} for letter in letters]


def write_lines(path: Path, lines: Lines) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def release_lines(
    folder: Path, log: Lines, items: Lines, to: str = "batch", **options: str
) -> BatchManifest:
    files = [
        write_lines(folder / "log.jsonl", log),
        write_lines(folder / "items.jsonl", items),
    ]
    return release_batch(*files, folder / to, **options)


def test_a_released_log_is_opened_as_columns(tmp_path):
    log = [
        session("s2", "ba", "aa", query="shoes"),
        session("s1", "abc", query=" socks"),
        session("s3", "c", "c", query="shoes"),
    ]
    log[0]["search_results"][0]["rank"] = 0.25
    manifest = release_lines(tmp_path, log, items_named("cabz"))
    batch = open_batch(tmp_path / "batch")
    sessions = batch.sessions

    assert batch.batch_id == manifest.batch_id
    assert is_batch_id(batch.batch_id)
    assert sessions.session_ids.to_pylist() == ["s1", "s2", "s3"]
    assert sessions.queries.to_pylist() == ["socks", "shoes"]
    assert sessions.query_index.tolist() == [0, 1, 1]
    assert batch.object_ids.to_pylist() == ["a", "b", "c"]
    assert sessions.items.to_pylist() == ["text of a", "text of b", "text of c"]
    assert sessions.item_index.tolist() == [0, 1, 2, 1, 0, 2]
    assert sessions.clicks.tolist() == [0, 0, 0, 0, 2, 1]
    assert sessions.positions.tolist() == [1, 2, 3, 1, 2, 1]
    np.testing.assert_array_equal(sessions.rank, [np.nan, np.nan, np.nan, 0.25, np.nan, np.nan])
    assert sessions.rank.dtype == np.float32


def test_the_manifest_counts_what_is_in_the_batch(tmp_path):
    log = [session("s1", "ab", "bb"), session("s2", "a", query="r"), session("s3", "ab", "ab")]
    manifest = release_lines(tmp_path, log, items_named("abc"))
    assert manifest.counts.model_dump() == {
        "sessions": 3,
        "not_irrelevant": 2,
        "irrelevant": 1,
        "queries": 2,
        "items": 2,
        "results": 5,
        "clicks": 4,
    }
    assert manifest.clicks_by_position == (1, 3)
    assert manifest.set_aside == {}
    assert (manifest.log_file, manifest.items_file) == ("log.jsonl", "items.jsonl")
    assert manifest.released_at.utcoffset().total_seconds() == 0
    assert read_manifest(tmp_path / "batch") == manifest


def test_a_batch_can_hold_irrelevant_sessions_only(tmp_path):
    counts = release_lines(tmp_path, [session("s1", "a")], items_named("a")).counts
    assert (counts.not_irrelevant, counts.irrelevant) == (0, 1)
    assert not open_batch(tmp_path / "batch").sessions.clicked.any()


def test_what_cannot_be_used_is_set_aside_and_counted(tmp_path):
    log = [
        session("lost click", "abx", "ax"),
        session("lost result", "xab", "b"),
        session("repeated", "abab", "b"),
        session("nothing known", "xy"),
        session("found nothing", ""),
    ]
    manifest = release_lines(tmp_path, log, items_named("ab"))
    assert manifest.set_aside == {
        SESSION_WITH_LOST_CLICK: 1,
        SESSION_WITHOUT_RESULT: 2,
        RESULT_WITHOUT_ITEM: 1,
        REPEATED_RESULT: 2,
    }
    sessions = open_batch(tmp_path / "batch").sessions
    assert sessions.session_ids.to_pylist() == ["lost result", "repeated"]
    assert sessions.lengths.tolist() == [2, 2]
    assert sessions.clicks.tolist() == [0, 1, 0, 1]
    # A result that is kept stays at the position at which the user saw it.
    assert sessions.positions.tolist() == [2, 3, 1, 2]


def test_nothing_is_released_when_nothing_is_left(tmp_path):
    with pytest.raises(
        DataError, match=r"Nothing is left of .*1 x session with a click on an item"
    ):
        release_lines(tmp_path, [session("s1", "a", "a")], items_named("b"))
    assert names_in(tmp_path) == {"items.jsonl", "log.jsonl"}


def test_nothing_is_written_for_a_log_with_an_error(tmp_path):
    with pytest.raises(DataError, match="line 2: session 's2': an event on the result 'x'"):
        release_lines(tmp_path, [session("s1", "a"), session("s2", "a", "x")], items_named("a"))
    assert names_in(tmp_path) == {"items.jsonl", "log.jsonl"}


def test_the_batch_id_knows_neither_order_nor_formatting_nor_unshown_items(tmp_path):
    log, items = made_up_log(1, items=40)
    expected = release_lines(tmp_path, log, items, "first").batch_id
    shuffled = copy.deepcopy(log)
    for line in shuffled:
        line["search_query"] += " "
        line["user_id"] = "somebody"
        random.Random(0).shuffle(line["events"])
    random.Random(1).shuffle(shuffled)
    more = [*reversed(items), {"object_id": "never shown", "text": "text"}]
    again = release_lines(tmp_path, shuffled, more, "second")
    assert again.batch_id == expected
    assert (tmp_path / "second").is_dir()


def test_the_batch_id_of_known_content_stays_what_it_is(tmp_path):
    log = [session("b", "xéx", "éé", " größe 42 "), session("10", "7lx", query="靴")]
    log.append(session("a", "é", query="größe 42"))
    for (line, place), rank in {(0, 0): 0.1, (0, 1): -0.0, (1, 2): 1e30, (2, 0): 3}.items():
        log[line]["search_results"][place]["rank"] = rank
    texts = {"é": "Éclair", "x": " a shoe ", 7: "靴 🥿", "unshown": "?"}
    items = [{"object_id": name, "text": text} for name, text in texts.items()]
    assert release_lines(tmp_path, log, items).batch_id == "de80e85bf4a8b74a69352601"


def change_query(log: Lines, items: Lines) -> None:
    log[0]["search_query"] += "!"


def change_session_id(log: Lines, items: Lines) -> None:
    log[0]["session_id"] += "0"


def swap_results(log: Lines, items: Lines) -> None:
    results = log[0]["search_results"]
    results[0], results[1] = results[1], results[0]


def change_rank(log: Lines, items: Lines) -> None:
    log[0]["search_results"][0]["rank"] += 0.001


def drop_rank(log: Lines, items: Lines) -> None:
    del log[0]["search_results"][0]["rank"]


def drop_result(log: Lines, items: Lines) -> None:
    clicked = {event["object_id"] for event in log[0]["events"]}
    others = [r for r in log[0]["search_results"] if r["object_id"] not in clicked]
    log[0]["search_results"].remove(others[-1])


def add_click(log: Lines, items: Lines) -> None:
    log[0]["events"].append({"object_id": log[0]["search_results"][0]["object_id"]})


def drop_session(log: Lines, items: Lines) -> None:
    del log[0]


def change_text(log: Lines, items: Lines) -> None:
    items[0]["text"] += "!"


def rename_item(log: Lines, items: Lines) -> None:
    old = items[0]["object_id"]
    items[0]["object_id"] = "renamed"
    for line in log:
        for entry in [*line["search_results"], *line["events"]]:
            if entry["object_id"] == old:
                entry["object_id"] = "renamed"


def move_a_letter_between_texts(log: Lines, items: Lines) -> None:
    items[1]["text"] = items[0]["text"][-1] + items[1]["text"]
    items[0]["text"] = items[0]["text"][:-1]


@pytest.mark.parametrize(
    "change",
    [
        change_query,
        change_session_id,
        swap_results,
        change_rank,
        drop_rank,
        drop_result,
        add_click,
        drop_session,
        change_text,
        rename_item,
        move_a_letter_between_texts,
    ],
)
def test_every_change_of_the_content_changes_the_batch_id(tmp_path, change):
    log, items = made_up_log(2)
    before = release_lines(tmp_path, log, items, "before").batch_id
    change(log, items)
    assert release_lines(tmp_path, log, items, "after").batch_id != before


def test_the_template_makes_the_texts(tmp_path):
    items = [{"object_id": "a", "title": "A", "body": "and so on"}]
    release_lines(tmp_path, [session("s1", "a")], items, text="{title}: {body}")
    assert open_batch(tmp_path / "batch").sessions.items.to_pylist() == ["A: and so on"]


def test_releasing_the_same_batch_again_changes_nothing(tmp_path):
    log, items = made_up_log()
    first = release_lines(tmp_path, log, items)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "batch").iterdir()}
    assert release_lines(tmp_path, log[::-1], items) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "batch").iterdir()} == written
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in written)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    log, items = made_up_log()
    release_lines(tmp_path, log, items)
    with pytest.raises(RequestError, match=r"holds the batch .* already, and this log gives"):
        release_lines(tmp_path, log[1:], items)
    (tmp_path / "notes").mkdir()
    with pytest.raises(RequestError, match="notes exists and is not a released batch"):
        release_lines(tmp_path, log, items, "notes")
    assert not list((tmp_path / "notes").iterdir())


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_a_release_that_is_broken_off_leaves_nothing_behind(tmp_path, monkeypatch, failure):
    def break_off(path: Path, *args: object) -> None:
        raise failure

    monkeypatch.setattr(Path, "chmod", break_off)
    with pytest.raises(failure):
        release_lines(tmp_path, *made_up_log())
    assert names_in(tmp_path) == {"items.jsonl", "log.jsonl"}


def at_once(count: int, work: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Do the same some times at once, so that all write before one of them is done."""
    barrier = threading.Barrier(count)

    def write_when_all_do(*batch_and_folder: Any) -> None:
        barrier.wait(60)
        parquet.write_tables(*batch_and_folder)

    monkeypatch.setattr(release, "write_tables", write_when_all_do)
    with ThreadPoolExecutor(count) as pool:
        return [done.result() for done in [pool.submit(work) for _ in range(count)]]


def test_of_four_releases_of_one_log_at_once_all_succeed(tmp_path, monkeypatch):
    files = [write_lines(tmp_path / "log", made_up_log()[0])]
    files.append(write_lines(tmp_path / "items", made_up_log()[1]))
    found = at_once(4, lambda: release_batch(*files, tmp_path / "batch"), monkeypatch)
    assert {manifest.batch_id for manifest in found} == {open_batch(tmp_path / "batch").batch_id}
    assert names_in(tmp_path) == {"log", "items", "batch"}


def test_of_releases_of_two_logs_at_once_the_later_is_refused(tmp_path, monkeypatch):
    items = write_lines(tmp_path / "items", items_named("ab"))
    logs = [write_lines(tmp_path / name, [session("s", name)]) for name in "ab"]
    to_release = iter(logs)

    def outcome() -> str:
        try:
            return release_batch(next(to_release), items, tmp_path / "batch").batch_id
        except RequestError as error:
            return str(error)

    refused, batch_id = sorted(at_once(2, outcome, monkeypatch), key=len, reverse=True)
    assert open_batch(tmp_path / "batch").batch_id == batch_id
    assert f"batch holds the batch {batch_id} already, and this log gives" in refused
    assert names_in(tmp_path) == {"a", "b", "items", "batch"}


RELEASE = """
import os, resource, signal, sys
from hooktune.data import release
from hooktune.iteration.log_release import release_batch
from hooktune.errors import RequestError
from pathlib import Path
log, items, to, file_size, kill_at = sys.argv[1:]
if int(kill_at) >= 0:
    chmod, left = Path.chmod, iter(range(int(kill_at) + 1))
    def killed(*arguments):
        if next(left) == int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)
        chmod(*arguments)
    Path.chmod = killed
resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_size), resource.RLIM_INFINITY))
try:
    release_batch(log, items, to)
except RequestError as error:
    sys.exit(str(error))
"""


def release_elsewhere(folder: Path, file_size: int = -1, kill_at: int = -1) -> Any:
    """Release a made-up log in a process of its own, which is stopped at some point."""
    for name, rows in zip(("log", "items"), made_up_log(), strict=True):
        write_lines(folder / name, rows)
    names = [str(folder / name) for name in ("log", "items", "batch")]
    command = [sys.executable, "-c", RELEASE, *names, str(file_size), str(kill_at)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", [0, 2])
def test_a_release_that_is_killed_leaves_no_half_batch(tmp_path, file):
    assert release_elsewhere(tmp_path, kill_at=file).returncode == -signal.SIGKILL
    assert not (tmp_path / "batch").exists()
    assert release_elsewhere(tmp_path).returncode == 0
    open_batch(tmp_path / "batch")


@pytest.mark.parametrize("room", [0, 100, 1_500])
def test_a_release_without_room_on_the_disk_leaves_nothing(tmp_path, room):
    released = release_elsewhere(tmp_path, file_size=room)
    assert "batch cannot be written: " in released.stderr
    assert released.returncode == 1
    assert names_in(tmp_path) == {"log", "items"}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(RequestError, match=r"log.jsonl/batch cannot be written: Not a directory"):
        release_lines(tmp_path, *made_up_log(), "log.jsonl/batch")


def test_a_batch_is_written_and_read_in_parts(tmp_path, monkeypatch):
    log, items = made_up_log(3)
    whole = release_lines(tmp_path, log, items, "whole").batch_id
    monkeypatch.setattr(parquet, "_SESSIONS_AT_ONCE", 7)
    monkeypatch.setattr(parquet, "_ITEMS_AT_ONCE", 4)
    monkeypatch.setattr(content, "_HASHED_AT_ONCE", 5)
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 2_000)
    monkeypatch.setattr(assembly, "_ITEMS_AT_ONCE", 3)
    assert release_lines(tmp_path, log, items, "parts").batch_id == whole
    assert pq.read_metadata(tmp_path / "parts" / "sessions.parquet").num_row_groups == 6
    assert open_batch(tmp_path / "parts").batch_id == whole


@pytest.fixture
def released(tmp_path):
    release_lines(tmp_path, *made_up_log())
    folder = tmp_path / "batch"
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


def edit_column(path: Path, name: str, values: Any) -> None:
    """Replace one column of a Parquet file by other values of its type."""
    table = pq.read_table(path)
    place = table.column_names.index(name)
    field = table.schema.field(name)
    column = pa.array(values(table[name].to_pylist()), field.type)
    pq.write_table(table.set_column(place, field, [column]), path)


@pytest.mark.parametrize(
    ("file", "column", "values"),
    [
        ("sessions.parquet", "session_id", lambda ids: ["other", *ids[1:]]),
        ("sessions.parquet", "query", lambda queries: [*queries[1:], queries[0]]),
        ("sessions.parquet", "query", lambda queries: [None, *queries[1:]]),
        ("sessions.parquet", "clicks", lambda clicks: [*clicks[1:], clicks[0]]),
        ("sessions.parquet", "clicks", lambda clicks: [[1], *clicks[1:]]),
        ("sessions.parquet", "clicks", lambda clicks: [None, *clicks[1:]]),
        ("sessions.parquet", "items", lambda items: [[10**9] * 8, *items[1:]]),
        ("sessions.parquet", "positions", lambda places: [[-1] * 8, *places[1:]]),
        ("sessions.parquet", "ranks", lambda ranks: [[None] * 8, *ranks[1:]]),
        ("items.parquet", "text", lambda texts: ["other", *texts[1:]]),
        ("items.parquet", "text", lambda texts: [None, *texts[1:]]),
        ("items.parquet", "object_id", lambda ids: [ids[1], ids[0], *ids[2:]]),
    ],
)
def test_a_batch_that_was_changed_by_hand_is_refused(released, file, column, values):
    edit_column(released / file, column, values)
    with pytest.raises(DataError, match=r"was changed after its release.*Release the log again"):
        open_batch(released)
    log, items = made_up_log()
    with pytest.raises(DataError, match="was changed after its release"):
        release_lines(released.parent, log, items)


@pytest.mark.parametrize(
    "edit",
    [
        lambda manifest: manifest["counts"].update(sessions=1),
        lambda manifest: manifest.update(batch_id="0" * 24),
        lambda manifest: manifest.update(clicks_by_position=[3]),
    ],
)
def test_a_manifest_that_does_not_fit_the_content_is_refused(released, edit):
    path = released / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="was changed after its release"):
        open_batch(released)


@pytest.mark.parametrize("file", ["sessions.parquet", "items.parquet"])
def test_a_missing_or_damaged_table_is_named(released, file):
    path = released / file
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=f"{file} is damaged"):
        open_batch(released)
    pq.write_table(pq.read_table(_intact(released, file)).select([0]), path)
    with pytest.raises(DataError, match=f"{file} has other columns"):
        open_batch(released)
    path.unlink()
    with pytest.raises(DataError, match=f"{file} is missing. Release the log again"):
        open_batch(released)


def _intact(released: Path, file: str) -> Path:
    release_lines(released.parent, *made_up_log(), "intact")
    return released.parent / "intact" / file


def test_a_folder_that_is_no_batch_is_refused(released, tmp_path):
    for folder, message in [
        (tmp_path / "nowhere", "does not exist"),
        (tmp_path / "log.jsonl", "is not a folder"),
        (tmp_path, r"holds no manifest.json.*hooktune batch release"),
    ]:
        with pytest.raises(DataError, match=message):
            open_batch(folder)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{", "manifest.json is damaged: Expecting property name"),
        ("[]", "manifest.json is damaged"),
        ('{"format_version": 2}', "has the batch format 2, and hooktune .* reads format 1"),
        ('{"format_version": 1}', "is damaged: the field 'batch_id' is missing"),
    ],
)
def test_a_damaged_or_foreign_manifest_is_refused(released, written, message):
    (released / "manifest.json").write_text(written)
    with pytest.raises(DataError, match=message):
        open_batch(released)


def test_a_manifest_cannot_be_changed(released):
    with pytest.raises(ValueError, match="frozen"):
        read_manifest(released).batch_id = "other"
    assert read_manifest(released).format_version == FORMAT_VERSION
