"""Items from tables, texts of fields in fields, and whole catalogues."""

import contextlib
import json
import sqlite3
from contextlib import closing

import duckdb
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from log_writers import write_json_lines

from hooktune import (
    DataError,
    merge_batches,
    open_batch,
    read_manifest,
    release_batch,
    sample_batch,
)
from hooktune.cli import cli
from hooktune.data.items import read_items

ITEMS = [("7", "red shoes", "light"), ("9", "socks", ""), ("11", "hat", "warm")]


def as_csv(path, separator=","):
    rows = [separator.join(row) for row in (("sku", "title", "text"), *ITEMS)]
    path.write_text("\n".join(rows))


def as_sqlite(path):
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE products (sku TEXT, title TEXT, text TEXT)")
        database.executemany("INSERT INTO products VALUES (?, ?, ?)", ITEMS)
        database.commit()


def as_duckdb(path):
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE products (sku BIGINT, title VARCHAR, text VARCHAR)")
        database.executemany("INSERT INTO products VALUES (?, ?, ?)", ITEMS)


def as_arrow(path):
    columns = dict(zip(("sku", "title", "text"), map(list, zip(*ITEMS, strict=True)), strict=True))
    columns["sku"] = [int(number) for number in columns["sku"]]
    columns["text"] = [text or None for text in columns["text"]]
    return pa.table(columns)


WRITERS = {
    ".csv": as_csv,
    ".tsv": lambda path: as_csv(path, "\t"),
    ".sqlite": as_sqlite,
    ".duckdb": as_duckdb,
    ".parquet": lambda path: pq.write_table(as_arrow(path), path),
    ".arrow": lambda path: pyarrow.feather.write_feather(as_arrow(path), path),
}


@pytest.mark.parametrize("ending", WRITERS)
def test_a_table_holds_an_item_a_row(tmp_path, ending):
    path = tmp_path / f"items{ending}"
    WRITERS[ending](path)
    found = [(item.object_id, item.text) for item in read_items(path, "{title}. {text}")]
    assert found == [("7", "red shoes. light"), ("9", "socks."), ("11", "hat. warm")]


def test_a_query_picks_the_items_of_a_database(tmp_path):
    as_sqlite(tmp_path / "shop.db")
    sql = "SELECT sku AS object_id, upper(title) AS text FROM products WHERE sku < '9'"
    found = list(read_items(tmp_path / "shop.db", sql=sql))
    assert sorted(item.text for item in found) == ["HAT", "RED SHOES"]


def test_fields_in_fields_make_a_text(tmp_path):
    items = [{"object_id": "7", "brand": {"name": "Acme", "a.b": 1}, "x.y": "z"}]
    path = write_json_lines(tmp_path / "items.jsonl", items)
    assert next(read_items(path, "{brand.name} {x.y}")).text == "Acme z"
    table = pa.table({"id": [7], "brand": [{"name": "Acme"}]})
    pq.write_table(table, tmp_path / "items.parquet")
    assert next(read_items(tmp_path / "items.parquet", "{brand.name}")).text == "Acme"
    with pytest.raises(DataError, match=r"line 1: the field 'brand\.nme', which the text template"):
        next(read_items(path, "{brand.nme}"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sku,text\n7,a\n7,b\n", "line 3: the item '7' has another text than on line 2"),
        ("sku,text\n,a\n", "line 2: the field 'object_id' is empty"),
        ("sku,text\n7,\n", "line 2: the item '7' has a blank text"),
        ("sku,title\n7,a\n", "line 2: the field 'text', which the text template names, is missing"),
        ("name,text\n7,a\n", "has no column that names its items: it has 'name', 'text'"),
        ("sku,text\n7,a,b\n", "line 2: 3 fields, and the first line names 2 columns"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, content, message):
    path = tmp_path / "items.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        list(read_items(path))


@pytest.fixture(scope="module")
def csv_file(tmp_path_factory):
    return tmp_path_factory.mktemp("items") / "items.csv"


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_table_of_items_or_refused(csv_file, content):
    csv_file.write_bytes(b"sku,text\n" + content)
    with contextlib.suppress(DataError):
        assert all(item.text for item in read_items(csv_file))


@pytest.fixture
def log(tmp_path):
    shown = [{"object_id": "7"}, {"object_id": "9"}]
    sessions = [
        {"session_id": f"s{n}", "search_query": f"q{n}", "search_results": shown,
         "events": [{"object_id": "7"}]}
        for n in range(4)
    ]  # fmt: skip
    return write_json_lines(tmp_path / "log.jsonl", sessions)


def test_a_whole_catalogue_is_kept_where_it_is_asked_for(tmp_path, log):
    as_csv(tmp_path / "items.csv")
    shown, whole = (
        release_batch(log, tmp_path / "items.csv", tmp_path / kind, text="{title}", catalogue=kind)
        for kind in ("shown", "all")
    )
    assert (shown.counts.items, whole.counts.items) == (2, 3)
    assert shown.batch_id != whole.batch_id
    batch = open_batch(tmp_path / "all")
    assert batch.object_ids.to_pylist() == ["11", "7", "9"]
    assert batch.sessions.items.to_pylist() == ["hat", "red shoes", "socks"]
    assert batch.sessions.item_index.tolist() == [1, 2] * 4
    merged = merge_batches([tmp_path / "shown", tmp_path / "all"], tmp_path / "merged")
    assert merged.batch_id == whole.batch_id
    assert sample_batch(tmp_path / "all", tmp_path / "sample", 1).counts.items == 3
    assert sample_batch(tmp_path / "shown", tmp_path / "less", 1).counts.items == 2


def test_the_command_takes_tables_and_catalogues(tmp_path, log):
    as_duckdb(tmp_path / "shop.duckdb")
    run = ["batch", "release", str(log), "--items", str(tmp_path / "shop.duckdb")]
    run += ["--items-sql", "SELECT sku AS item_id, title FROM products", "--text", "{title}"]
    done = CliRunner().invoke(cli, [*run, "--to", str(tmp_path / "batch"), "--catalogue", "all"])
    assert done.exit_code == 0, done.output
    manifest = read_manifest(tmp_path / "batch")
    assert (manifest.catalogue, manifest.items_file, manifest.counts.items) == (
        "all", "shop.duckdb", 3
    )  # fmt: skip
    shown = CliRunner().invoke(cli, ["batch", "show", str(tmp_path / "batch"), "--json"]).stdout
    assert json.loads(shown)["catalogue"] == "all"
