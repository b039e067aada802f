"""Batch folders that were made by hand, with manifests that agree with them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hooktune.contract.sessions import Sessions
from hooktune.data.content import content_id
from hooktune.data.release import open_batch
from hooktune.errors import DataError
from hooktune.iteration.log_release import release_batch
from hooktune.testing import made_up_log

SESSIONS, ITEMS = "sessions.parquet", "items.parquet"


@pytest.fixture
def released(tmp_path: Path) -> Path:
    for name, rows in zip(("log", "items"), made_up_log(), strict=True):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    release_batch(tmp_path / "log", tmp_path / "items", tmp_path / "batch")
    for path in (tmp_path / "batch").iterdir():
        path.chmod(0o644)
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
from hooktune.errors import DataError
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
