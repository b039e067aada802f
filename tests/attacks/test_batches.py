"""Batch folders that were made by hand, some with manifests that agree with them.

A batch is opened as it was released, or refused by an error that names the folder or the file.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hooktune.contract.sessions import Sessions
from hooktune.data.content import content_id
from hooktune.data.release import open_batch
from hooktune.errors import DataError, RequestError
from hooktune.iteration.log_release import release_batch
from hooktune.processes import scratch_folder, sweep_scratch
from hooktune.testing import made_up_log

SESSIONS, ITEMS = "sessions.parquet", "items.parquet"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with its items, and the batch that was released of it."""
    folder = tmp_path_factory.mktemp("made")
    for name, rows in zip(("log", "items"), made_up_log(), strict=True):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    release_batch(folder / "log", folder / "items", folder / "batch")
    for path in (folder / "batch").iterdir():
        path.chmod(0o644)
    return folder


@pytest.fixture
def released(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "batch"


def put_column(path: Path, name: str, values: list[Any]) -> None:
    table = pq.read_table(path)
    place = table.column_names.index(name)
    kind = table.schema.field(name).type
    pq.write_table(table.set_column(place, table.schema.field(name), pa.array(values, kind)), path)


def write_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    counts = manifest["counts"] | changes.pop("counts", {})
    path.write_text(json.dumps(manifest | changes | {"counts": counts}))


def agree(folder: Path) -> None:
    """Give a folder's manifest the id and the counts of whatever its tables hold."""
    rows = pq.read_table(folder / SESSIONS).combine_chunks()
    items = pq.read_table(folder / ITEMS).combine_chunks()
    text = pa.large_string()
    queries = rows["query"].combine_chunks().cast(text).dictionary_encode()
    results = {
        name: rows[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        for name in ("items", "positions", "clicks", "ranks")
    }
    lengths = rows["items"].combine_chunks().value_lengths().to_numpy()
    sessions = Sessions(
        queries=queries.dictionary,
        items=items["text"].combine_chunks().cast(text),
        session_ids=rows["session_id"].combine_chunks().cast(text),
        query_index=queries.indices.to_numpy(),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        item_index=results["items"],
        clicks=results["clicks"],
        rank=results["ranks"],
        shown_at=results["positions"],
    )
    counts = {
        "sessions": len(sessions),
        "not_irrelevant": int(sessions.not_irrelevant.sum()),
        "irrelevant": int((~sessions.not_irrelevant).sum()),
        "queries": len(sessions.queries),
        "items": len(sessions.items),
        "results": sessions.result_count,
        "clicks": int(sessions.clicks.sum()),
    }
    object_ids = items["object_id"].combine_chunks().cast(text)
    write_manifest(
        folder,
        batch_id=content_id(sessions, object_ids),
        counts=counts,
        clicked_results=int(sessions.clicked.sum()),
    )


def test_an_agreeing_manifest_opens_an_honest_batch(released):
    before = open_batch(released).batch_id
    agree(released)
    assert open_batch(released).batch_id == before


def first(row: list[Any]) -> Any:
    """An edit that puts other values into the first row of a column."""
    return lambda rows: [row, *rows[1:]]


@pytest.mark.parametrize(
    ("file", "column", "edit", "message"),
    [
        (SESSIONS, "items", first([30, *range(7)]), "'session-0000' shows an item that is none of"),
        (SESSIONS, "items", first([-1, *range(7)]), "'session-0000' shows an item that is none of"),
        (SESSIONS, "positions", first([-3, *range(2, 9)]), "a result at an impossible position"),
        (SESSIONS, "positions", first([1, 3, 2, 4, 5, 6, 7, 8]), "at an impossible position"),
        (SESSIONS, "positions", first([*range(1, 8), 2**31 - 1]), "at an impossible position"),
        (SESSIONS, "clicks", first([-1] * 8), "shows a result with less than no clicks"),
        (SESSIONS, "ranks", first([np.inf] * 8), "shows a result with an infinite rank"),
        (SESSIONS, "ranks", first([-np.inf] * 8), "shows a result with an infinite rank"),
        (SESSIONS, "session_id", lambda ids: [ids[1], *ids[1:]], "its session ids are not in"),
        (SESSIONS, "session_id", lambda ids: ids[::-1], "its session ids are not in order"),
        (ITEMS, "object_id", lambda ids: [ids[1], *ids[1:]], "its items are not in order"),
    ],
)
def test_columns_that_no_release_wrote_are_refused(released, file, column, edit, message):
    put_column(released / file, column, edit(pq.read_table(released / file)[column].to_pylist()))
    agree(released)
    with pytest.raises(DataError, match=f"batch was changed after its release: .*{message}"):
        open_batch(released)


def test_a_session_that_shows_nothing_is_refused(released):
    for name in ("items", "positions", "clicks", "ranks"):
        rows = pq.read_table(released / SESSIONS)[name].to_pylist()
        put_column(released / SESSIONS, name, [[], *rows[1:]])
    # Parquet counts an empty list as one value.
    write_manifest(released, counts={"results": 8 * 39 + 1})
    with pytest.raises(DataError, match="the session 'session-0000' shows no result"):
        open_batch(released)


@pytest.mark.parametrize("clicks", [[None] * 8, [0] * 7])
def test_results_that_lack_something_are_refused(released, clicks):
    rows = pq.read_table(released / SESSIONS)["clicks"].to_pylist()
    put_column(released / SESSIONS, "clicks", [clicks, [0] * (16 - len(clicks)), *rows[2:]])
    with pytest.raises(
        DataError, match=r"no item, position, clicks or weight|are of different lengths"
    ):
        open_batch(released)


def test_a_batch_without_sessions_is_refused(released):
    pq.write_table(pq.read_table(released / SESSIONS).slice(0, 0), released / SESSIONS)
    agree(released)
    with pytest.raises(DataError, match="it holds no session"):
        open_batch(released)


def test_a_text_that_is_not_utf8_is_refused(released):
    path = released / ITEMS
    table = pq.read_table(path)
    broken = [b"\xff", *(text.encode() for text in table["text"].to_pylist()[1:])]
    column = pa.array(broken, pa.binary()).view(pa.string())
    pq.write_table(table.set_column(1, table.schema.field("text"), column), path)
    with pytest.raises(DataError, match=r"items.parquet is damaged: Invalid UTF8"):
        open_batch(released)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"counts": {"sessions": 41}}, r"sessions.parquet .* it has 40 rows, and the manifest"),
        ({"counts": {"results": 9}}, r"column items has 320 values, and the manifest says 9"),
        ({"counts": {"items": 10**18}}, r"items.parquet .* it has 30 rows"),
        ({"counts": {"clicks": -1}}, r"'counts.clicks' should be greater than or equal to 0"),
        ({"clicked_results": 1}, "its content is not that of the batch"),
    ],
)
def test_a_manifest_is_compared_with_what_the_tables_say_of_themselves(released, manifest, message):
    write_manifest(released, **manifest)
    with pytest.raises(DataError, match=message):
        open_batch(released)


def test_a_deep_manifest_is_refused(released):
    (released / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"manifest.json is damaged"):
        open_batch(released)


def test_an_immense_manifest_is_refused(released):
    with (released / "manifest.json").open("r+") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="it is too large"):
        open_batch(released)


OPEN_IN_2_GB = """
import resource, sys
from hooktune.data.release import open_batch
from hooktune.errors import DataError, RequestError
resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9))
try:
    open_batch(sys.argv[1])
except DataError as error:
    print(error)
"""


def said_in_little_memory(folder: Path) -> str:
    opened = subprocess.run(
        [sys.executable, "-c", OPEN_IN_2_GB, str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return opened.stdout


def test_few_bytes_that_stand_for_many_results_are_refused(released):
    table = pq.read_table(released / SESSIONS).slice(0, 1)
    zeros = {"items": pa.int32(), "positions": pa.int32(), "clicks": pa.int32()}
    count = 30_000_000
    for place, (name, kind) in enumerate([*zeros.items(), ("ranks", pa.float32())], start=2):
        values = pa.array(np.ones(count, kind.to_pandas_dtype()))
        lists = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), values)
        table = table.set_column(place, table.schema.field(name), [lists])
    pq.write_table(table, released / SESSIONS, compression="zstd")
    assert (released / SESSIONS).stat().st_size < 100_000
    write_manifest(released, counts={"sessions": 1})
    assert "column items has 30000000 values" in said_in_little_memory(released)
    write_manifest(released, counts={"results": count})
    assert "and no released table is so empty" in said_in_little_memory(released)


def test_few_bytes_that_stand_for_a_long_text_many_times_are_refused(released):
    long = "x" * 10_000_000
    texts = pa.DictionaryArray.from_arrays(np.zeros(1000, np.int32), [long])
    table = pa.table({"object_id": [f"{n:04}" for n in range(1000)], "text": texts})
    schema = pq.read_schema(released / ITEMS)
    pq.write_table(table, released / ITEMS, compression="zstd", store_schema=False)
    assert pq.read_schema(released / ITEMS) == schema
    assert (released / ITEMS).stat().st_size < 20_000
    write_manifest(released, counts={"items": 1000})
    assert "and no released table is so empty" in said_in_little_memory(released)


MANIFESTS: dict[str, Any] = {
    "no object": [1],
    "another format": {"format_version": 2},
    "a format that is a list": {"format_version": [1]},
    "a format of 400 digits": {"format_version": 10**400},
    "an id that is a number": {"batch_id": 7},
    "another id": {"batch_id": "0" * 24},
    "an id that is a path": {"batch_id": "../../etc"},
    "an id that is a terminal's": {"batch_id": "\x1b[2J"},
    "no counts": {"counts": {}},
    "counts that are a list": {"counts": [1]},
    "counts that are true": {"clicked_results": {"a": True}},
    "a count of 400 digits": {"counts": {"results": 10**400}},
    "a count that is no whole number": {"counts": {"items": 0.5}},
    "a count that is endless": {"counts": {"items": float("inf")}},
    "a count that is none": {"counts": {"items": float("nan")}},
    "positions that are texts": {"clicks_by_position": ["a"]},
    "positions that are null": {"clicks_by_position": None},
    "findings that are texts": {"found": ["a"]},
    "findings below nothing": {"found": [{"what": "x", "count": -1}]},
    "events that are an object": {"events": {"click": 1}},
    "a time without a zone": {"released_at": "2024-01-01T00:00:00"},
    "a time that never was": {"released_at": "2024-02-30T00:00:00Z"},
    "set aside that is a text": {"set_aside": "all"},
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_says_something_else_is_refused(released, name):
    path, changed = released / "manifest.json", MANIFESTS[name]
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | changed if isinstance(changed, dict) else changed))
    with pytest.raises(DataError, match=str(released)) as refusal:
        open_batch(released)
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"\xff\xfe", b"{", b"null", b"{}" * 2, b'{"format_version": 1}',
     b'{"format_version": ' + b"9" * 5000 + b"}", b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}",
     b'{"format_version": 1, "batch_id": "\\ud800"}', "{}".encode("utf-16")],
    ids=["nothing", "zeros", "a mark", "half", "null", "two", "a format alone", "digits", "deep",
         "a surrogate", "UTF-16"],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(released, content):
    (released / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=str(released)):
        open_batch(released)


FILES = [SESSIONS, ITEMS, "manifest.json"]


def nothing(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_link_to(target: str) -> Any:
    def make(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    make.__name__ = f"a_link_to_{target}"
    return make


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_its_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def twice(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "become",
    [nothing, a_folder, a_pipe, half, without_its_end, zeros, a_link_to("/etc/passwd"),
     a_link_to("/dev/zero"), a_link_to("/dev/null"), a_link_to("/nowhere"), a_link_to(SESSIONS)],
    ids=lambda become: become.__name__,
)  # fmt: skip
def test_a_file_that_became_something_else_is_refused(released, file, become):
    if file == SESSIONS and become.__name__ == f"a_link_to_{SESSIONS}":
        become = a_link_to(ITEMS)
    become(released / file)
    if (file, become) == ("manifest.json", without_its_end):
        assert open_batch(released)  # it was a line break
        return
    with pytest.raises(DataError, match=str(released)):
        open_batch(released)


def test_the_files_of_another_batch_are_refused(released, tmp_path):
    for name, rows in zip(("log", "items"), made_up_log(1), strict=True):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    release_batch(tmp_path / "log", tmp_path / "items", tmp_path / "other")
    for file in FILES:
        mixed = tmp_path / f"with-{file}"
        shutil.copytree(released, mixed)
        (mixed / file).unlink()
        (mixed / file).symlink_to(tmp_path / "other" / file)
        with pytest.raises(DataError, match="was changed after its release"):
            open_batch(mixed)


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bits_are_refused_or_change_nothing(released, seed):
    chance, before = np.random.default_rng(seed), open_batch(released)
    path = released / FILES[seed % 2]
    content = bytearray(path.read_bytes())
    for place in chance.integers(0, len(content), 4):
        content[place] ^= 1 << int(chance.integers(8))
    path.write_bytes(bytes(content))
    with contextlib.suppress(DataError):
        after = open_batch(released)
        assert after.batch_id == before.batch_id
        assert after.sessions.item_index.tolist() == before.sessions.item_index.tolist()
        assert after.sessions.clicks.tolist() == before.sessions.clicks.tolist()


@pytest.mark.parametrize("laid", ["a link", "a dangling link", "a file", "a folder"])
def test_what_lies_in_the_place_of_a_new_batch_is_left_alone(released, tmp_path, laid):
    place, theirs = tmp_path / "new", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("theirs")
    if laid.endswith("link"):
        place.symlink_to(theirs if laid == "a link" else tmp_path / "nowhere")
    elif laid == "a file":
        place.write_text("theirs")
    else:
        shutil.copytree(theirs, place)
    with pytest.raises(RequestError, match=str(place)):
        release_batch(tmp_path / "log", tmp_path / "items", place)
    assert (theirs / "file").read_text() == "theirs"
    assert [path.name for path in theirs.iterdir()] == ["file"]
    assert not list(tmp_path.glob(".new*"))


def test_links_that_another_user_laid_among_the_temporary_files_lead_nowhere(tmp_path, monkeypatch):
    """They are named like folders of processes that died, which are swept."""
    victim, shared = tmp_path / "victim", tmp_path / "shared"
    victim.mkdir()
    (victim / "file").write_text("mine")
    shared.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    with scratch_folder() as mine:
        beginning = mine.name.rpartition("-")[0].split("-")
    dead = "-".join([*beginning[:2], "4194304", *beginning[3:]])
    (shared / f"{dead}-link").symlink_to(victim)
    (shared / f"{dead}-folder").mkdir()
    (shared / f"{dead}-folder" / "link").symlink_to(victim)
    (shared / f"{dead}-file").symlink_to(victim / "file")
    sweep_scratch()
    assert (victim / "file").read_text() == "mine"
    assert not (shared / f"{dead}-folder").exists()
