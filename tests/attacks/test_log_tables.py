"""Tables, databases and files of columns that hold something else: refused, and not changed."""

import contextlib
import gzip
import sqlite3
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_logs import ITEMS, MANY_DIGITS, MORE_DIGITS, refused, released
from log_writers import write_json_lines

from hooktune.data import tables
from hooktune.errors import DataError


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with good items."""
    write_json_lines(tmp_path / "items.jsonl", ITEMS)
    return tmp_path


ROW: Final = {"search_id": "s", "query": "shoes", "item": ITEMS[0]["object_id"], "position": 1}
COLUMNS: Final = ",".join(ROW)
CSV: Final[dict[str, tuple[bytes, str]]] = {
    "nothing": (b"", "is empty"),
    "no rows": (f"{COLUMNS}\n".encode(), "no row"),
    "no columns that are known": (b"a,b\n1,2\n", "no column is known"),
    "a column twice": (b"query,query\na,b\n", "two columns are called"),
    "NUL in the header": (b"search_id,\x00query\ns,q\n", "no column"),
    "a header of 3 MB": (b"x" * 3_000_000 + b"\n1\n", "cannot be read"),
    "a header that is one field of 200 kB": (b'"' + b"x" * 200_000 + b'"\n1\n', "cannot be read"),
    "latin 1": (f"{COLUMNS}\ns,caf\xe9,a,1\n".encode("latin-1"), "a.csv"),
    "latin 1 in the header": ("search_id,caf\xe9\ns,q\n".encode("latin-1"), "cannot be read"),
    "UTF-16": (f"{COLUMNS}\ns,q,a,1\n".encode("utf-16"), "cannot be read"),
    "more fields": (f"{COLUMNS}\ns,q,a,1,2,3\n".encode(), "line 2"),
    "fewer fields": (f"{COLUMNS}\ns,q\n".encode(), "line 2"),
    "a quote that never ends": (f'{COLUMNS}\ns,"q,a,1\n'.encode() + b"x" * 10_000, "a.csv"),
    "a negative position": (f"{COLUMNS}\ns,q,a,-1\n".encode(), "line 2"),
    "an endless position": (f"{COLUMNS}\ns,q,a,inf\n".encode(), "line 2"),
    "no number": (f"{COLUMNS}\ns,q,a,nan\n".encode(), "line 2"),
    "a position of 5000 digits": (f"{COLUMNS}\ns,q,a,".encode() + MORE_DIGITS + b"\n", "line 2"),
    "a billion clicks": (b"search_id,query,item,clicks\ns,q,a,1000000000\n", "line 2"),
    "clicks of 400 digits": (b"search_id,query,item,clicks\ns,q,a," + MANY_DIGITS, "line 2"),
    "a time that never was": (
        b"search_id,query,item,position,time\ns,q,a,1,2024-13-01\n", "line 2"),
    "a name of 10,000 characters": (f"{COLUMNS}\n{'s' * 10_000},q,a,1\n".encode(), "line 2"),
    "a list of 100,000 levels": (
        b"search_id,query,items\ns,q,\"" + b"[" * 100_000 + b'"\n', "line 2"),
    "a list that is an object": (b'search_id,query,items\ns,q,"{""a"": 1}"\n', "line 2"),
    "a list of lists": (b'search_id,query,items\ns,q,"[[1]]"\n', "line 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", CSV)
def test_a_table_of_text_that_cannot_be_used_is_refused(desk: Path, name: str):
    content, problem = CSV[name]
    (desk / "a.csv").write_bytes(content)
    with refused(desk, "a.csv", problem):
        released(desk, desk / "a.csv")


def columns_of(**changed: Any) -> dict[str, list[Any]]:
    return {name: [value] for name, value in (ROW | changed).items()}


TABLES: Final[dict[str, dict[str, Any]]] = {
    "positions without end": columns_of(position=float("inf")),
    "positions that are no numbers": columns_of(position=float("nan")),
    "positions beyond all bounds": columns_of(position=2**62),
    "names that are true": columns_of(item=True),
    "names that are bytes": columns_of(item=b"\xff"),
    "queries that are lists": columns_of(query=["a"]),
    "queries that are objects": columns_of(query={"a": 1}),
    "searches without names": columns_of(search_id=None),
    "items that are no list": {"search_id": ["s"], "query": ["q"], "items": [7]},
    "items that are lists of nulls": {"search_id": ["s"], "query": ["q"], "items": [[None]]},
    "no known columns": {"a": [1]},
}


def test_a_compressed_table_that_no_memory_holds_is_refused(
    desk: Path, monkeypatch: pytest.MonkeyPatch
):
    pq.write_table(pa.table(columns_of()), desk / "a.parquet")
    (desk / "a.parquet.gz").write_bytes(gzip.compress((desk / "a.parquet").read_bytes()))
    (desk / "a.parquet").unlink()
    monkeypatch.setattr(tables, "_MOST_IN_MEMORY", 1000)
    with refused(desk, "a.parquet.gz", "Unpack it"):
        released(desk, desk / "a.parquet.gz")


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("name", TABLES)
def test_a_column_that_holds_something_else_is_refused(desk: Path, name: str, ending: str):
    table, file = pa.table(TABLES[name]), desk / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(table, file)
    else:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
    with refused(desk, file.name):
        released(desk, file)


@pytest.mark.parametrize("ending", ["parquet", "arrow", "duckdb", "sqlite"])
@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", b"ARROW1" + b"\0" * 64, b"\xff" * 5000,
     b"SQLite format 3\0" + b"\xff" * 4096, b"{}"],
    ids=["nothing", "a beginning", "a false footer", "zeros", "ones", "a false database", "lines"],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused(desk: Path, ending: str, content: bytes):
    (desk / f"a.{ending}").write_bytes(content)
    with refused(desk, f"a.{ending}"):
        released(desk, desk / f"a.{ending}")


@pytest.mark.parametrize("seed", range(12))
def test_a_parquet_file_with_flipped_bits_is_read_or_refused(desk: Path, seed: int):
    rows = [columns_of(search_id=f"s{number}") for number in range(50)]
    table = pa.concat_tables([pa.table(row) for row in rows])
    pq.write_table(table, desk / "a.parquet")
    content = bytearray((desk / "a.parquet").read_bytes())
    chance = np.random.default_rng(seed)
    for place in chance.integers(4, len(content) - 8, 6):
        content[place] ^= 1 << int(chance.integers(8))
    (desk / "a.parquet").write_bytes(bytes(content))
    with contextlib.suppress(DataError):
        released(desk, desk / "a.parquet")


SQL: Final = [
    "",
    "nonsense",
    "DROP TABLE log",
    "DELETE FROM log",
    "SELECT 1; DROP TABLE log",
    "SELECT * FROM nowhere",
    "SELECT 1 AS one",
    "ATTACH 'theirs' AS theirs",
    "CREATE TEMP TABLE theirs AS SELECT 1 AS one",
    "PRAGMA journal_mode = wal",
    "PRAGMA database_list",
    "COPY log TO 'theirs'",
    "EXPORT DATABASE 'theirs'",
    "VACUUM INTO 'theirs'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SELECT load_extension('theirs')",
    "SET enable_external_access = true",
    "SELECT content AS query FROM read_text('a.*')",
]


@pytest.mark.parametrize("sql", SQL)
@pytest.mark.parametrize("ending", ["sqlite", "duckdb"])
def test_a_query_that_is_no_look_changes_nothing(
    desk: Path, ending: str, sql: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(desk)
    file, connect = desk / f"a.{ending}", sqlite3.connect if ending == "sqlite" else duckdb.connect
    with contextlib.closing(connect(str(file))) as database:
        database.execute("CREATE TABLE log (search_id TEXT, query TEXT, item TEXT)")
        database.execute("INSERT INTO log VALUES ('s', 'q', 'a')")
        database.commit()
    before = file.read_bytes()
    for address in (file, f"sqlite:///{file}")[: 2 if ending == "sqlite" else 1]:
        with refused(desk):
            released(desk, address, sql=sql)
    assert file.read_bytes() == before


def test_a_view_of_another_file_does_not_show_it(desk: Path):
    (desk / "theirs.csv").write_text("search_id,query,item\ns,secret,a\n")
    with contextlib.closing(duckdb.connect(str(desk / "a.duckdb"))) as database:
        database.execute(f"CREATE VIEW log AS SELECT * FROM '{desk / 'theirs.csv'}'")
    with refused(desk, "a.duckdb", "disabled by configuration"):
        released(desk, desk / "a.duckdb")


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"columns = 1", b"[columns]\nquery = 1", b"x = " + b"[" * 10_000, b"[columns",
     b"x = " + MORE_DIGITS, b"[columns]\nnothing = 'query'"],
    ids=["bytes", "no table", "a number", "deep", "cut", "digits", "an unknown field"],
)  # fmt: skip
def test_a_file_of_columns_that_cannot_be_used_is_refused(desk: Path, text: bytes):
    (desk / "a.csv").write_text(f"{COLUMNS}\ns,shoes,{ITEMS[0]['object_id']},1\n")
    (desk / "a.csv.toml").write_bytes(text)
    with refused(desk):
        released(desk, desk / "a.csv")
