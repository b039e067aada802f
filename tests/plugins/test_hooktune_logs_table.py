import bz2
import csv
import gzip
import lzma
import sqlite3
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_lines import assert_refused, read_tolerantly
from log_writers import result_rows, ubi_documents, write_json_lines

from hooktune import DataError, Findings, LogSource, RequestError, open_batch, release_batch
from hooktune.contract.log_source import BAD_LINES
from hooktune.testing import made_up_log
from hooktune_logs import table

SESSIONS, ITEMS = made_up_log()
RESULTS = result_rows(SESSIONS)
SEARCHES = [{"query_id": each["session_id"], "query": each["search_query"]} for each in SESSIONS]
EVENTS = [
    {"query_id": each["session_id"], "item_id": result["object_id"], "event_type": "impression",
     "position": place, "timestamp": "2024-12-10T00:01:29Z"}
    for each in SESSIONS for place, result in enumerate(each["search_results"], start=1)
] + [
    {"query_id": each["session_id"], "item_id": event["object_id"], "event_type": "click",
     "position": None, "timestamp": f"2024-12-10T00:02:{place:02}Z"}
    for each in SESSIONS for place, event in enumerate(each["events"])
]  # fmt: skip
ROWS = [
    {"session_id": each["session_id"], "search_query": each["search_query"],
     "items": [result["object_id"] for result in each["search_results"]],
     "clicked_items": [event["object_id"] for event in each["events"]]}
    for each in SESSIONS
]  # fmt: skip


def write_csv(path: Path, rows, delimiter=",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_sqlite(path: Path, **tables) -> Path:
    with sqlite3.connect(path) as database:
        for name, rows in tables.items():
            database.execute(f"CREATE TABLE {name} ({', '.join(rows[0])})")
            marks = ", ".join("?" * len(rows[0]))
            values = [tuple(row.values()) for row in rows]
            database.executemany(f"INSERT INTO {name} VALUES ({marks})", values)
    database.close()
    return path


def write_duckdb(path: Path, **tables) -> Path:
    with duckdb.connect(str(path)) as database:
        for name, rows in tables.items():
            database.register("rows", pa.Table.from_pylist(rows))
            database.execute(f"CREATE TABLE {name} AS FROM rows")
    return path


def write_arrow(path: Path) -> Path:
    rows = pa.Table.from_pylist(RESULTS)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows)
    return path


def compressed(path: Path, ending: str, compress) -> Path:
    made = path.with_name(f"{path.name}{ending}")
    made.write_bytes(compress(path.read_bytes()))
    return made


def zstandard(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def snappy(content: bytes) -> bytes:
    frames = b"\xff\x06\x00\x00sNaPpY"
    for start in range(0, len(content), 65_536):
        frame = b"0000" + pa.compress(content[start : start + 65_536], "snappy", asbytes=True)
        frames += b"\x00" + len(frame).to_bytes(3, "little") + frame
    return frames


def forms(folder: Path):
    """Write the same sessions in many ways."""
    log = write_json_lines(folder / "log.jsonl", SESSIONS)
    yield log
    yield write_json_lines(folder / "ubi.ndjson", ubi_documents(SESSIONS))
    results = write_csv(folder / "results.csv", RESULTS)
    yield results
    yield write_csv(folder / "results.tsv", RESULTS, "\t")
    yield write_parquet(folder / "results.parquet", RESULTS)
    yield write_parquet(folder / "sessions.parquet", ROWS)
    yield write_arrow(folder / "results.arrow")
    yield write_sqlite(folder / "log.sqlite", searches=SEARCHES, events=EVENTS)
    yield write_duckdb(folder / "log.duckdb", searches=SEARCHES, events=EVENTS)
    yield [write_csv(folder / "searches.csv", SEARCHES), write_csv(folder / "events.csv", EVENTS)]
    yield compressed(log, ".gz", gzip.compress)
    yield compressed(results, ".gz", gzip.compress)
    yield compressed(results, ".bz2", bz2.compress)
    yield compressed(results, ".xz", lzma.compress)
    yield compressed(results, ".zst", zstandard)
    yield compressed(results, ".sz", snappy)
    yield compressed(folder / "results.parquet", ".gz", gzip.compress)
    write_csv(folder / "part-1.csv", RESULTS[:100])
    write_csv(folder / "part-2.csv", RESULTS[100:])
    yield folder / "part-*.csv"
    yield f"file://{results}"


def test_the_same_sessions_in_any_format_give_the_same_batch(tmp_path):
    items = write_json_lines(tmp_path / "items.jsonl", ITEMS)
    for session in SESSIONS:
        for result in session["search_results"]:
            result.pop("rank", None)
    made = {
        str(log): release_batch(log, items, tmp_path / f"batch-{place}").batch_id
        for place, log in enumerate(forms(tmp_path))
    }
    assert len(made) == 19
    assert len(set(made.values())) == 1, made


@pytest.fixture
def release(tmp_path):
    write_json_lines(
        tmp_path / "items.jsonl", [{"object_id": str(n), "text": "t"} for n in range(9)]
    )

    def released(text, name="log.csv", **options):
        (tmp_path / name).write_text(text, encoding="utf-8")
        release_batch(tmp_path / name, tmp_path / "items.jsonl", tmp_path / "batch", **options)
        return open_batch(tmp_path / "batch").sessions

    return released


def test_columns_are_stated_by_the_user_or_by_a_file_beside_the_log(release, tmp_path):
    text = "visit,words,thing,place\nv1,red shoes,3,1\nv1,red shoes,4,2\n"
    stated = {"search_id": "visit", "query": "words", "item": "thing", "position": "place"}
    assert release(text, columns=stated).queries.to_pylist() == ["red shoes"]
    lines = [f'{field} = "{name}"' for field, name in stated.items()]
    (tmp_path / "log.csv.toml").write_text("\n".join(["[columns]", *lines]))
    assert release(text).positions.tolist() == [1, 2]


def test_a_database_is_asked_by_sql(release, tmp_path):
    path = write_sqlite(tmp_path / "shop.db", log=RESULTS, other=[{"x": 1}])
    items = write_json_lines(tmp_path / "all.jsonl", ITEMS)
    sql = "SELECT search_id, query AS words, item, position, clicks FROM log"
    for place, address in enumerate((str(path), f"sqlite:///{path}")):
        made = release_batch(
            address, items, tmp_path / f"b{place}", format="table", sql=sql,
            columns={"query": "words"},
        )  # fmt: skip
        assert made.counts.sessions == len(SESSIONS)


def test_clicks_may_be_numbers_or_yes_and_no(release):
    head = "search_id,query,item,position,clicked"
    sessions = release(f"{head}\na,q,1,1,true\na,q,2,2,No\na,q,3,3,2\na,q,4,4,\n")
    assert sessions.clicks.tolist() == [1, 0, 2, 0]


HEAD = "search_id,query,item,position,score,clicks,time"
GOOD = "s,q,1,1,0.5,0,2024-12-10"
ROWS_THAT_ARE_WRONG = [
    (",q,1,1,0.5,0,", "the column 'search_id' is empty"),
    ("s" * 600 + ",q,1,1,0.5,0,", "the column 'search_id' should be a text"),
    ("s,q," + "1" * 600 + ",1,0.5,0,", "the column 'item' should be a text"),
    *((f"s,q,1,{value},0.5,0,", "'position' should be a whole number") for value in
      ("first", "1.5", "-1", "1e9", "nan", "inf", "1;2")),
    *((f"s,q,1,1,{value},0,", "'score' should be a number") for value in
      ("high", "nan", "inf", "1e300", "0;5")),
    *((f"s,q,1,1,0.5,{value},", "'clicks' should be a number of clicks") for value in
      ("perhaps", "-1", "1.5", "nan", "1000000")),
    *((f"s,q,1,1,0.5,0,{value}", "'time' should be a time") for value in
      ("yesterday", "2024-13-01", "1e40", "12:00", "nan")),
    ("s,q,1,1,0.5,0", "6 fields, and the first line names 7 columns"),
    ("s,q,1,1,0.5,0,,", "8 fields, and the first line names 7 columns"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "message"), ROWS_THAT_ARE_WRONG)
def test_a_row_that_cannot_be_used_is_named_and_may_be_set_aside(row, message, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(f"{HEAD}\n{GOOD}\n{row}\n", encoding="utf-8")
    assert_refused(table, path, 3, message)
    parts, findings = read_tolerantly(table, path, 0.5)
    findings.check_tolerance()
    assert sum(len(part.shown) for part in parts) == 1
    assert findings.all()[0].count == 1


FILES_THAT_ARE_WRONG = [
    ("log.csv", b"", "is empty. Its first line should name the columns"),
    ("log.csv", b"search_id,query\n", "no row but the one that names the columns"),
    ("log.csv", b"a,b\n1,2\n", "no column is known by its name. It has 'a', 'b'"),
    ("log.csv", b"query,item\nq,1\n", "no column holds the search_id. It has 'query', 'item'"),
    ("log.csv", b"search_id,position\ns,1\n", "no column holds the item"),
    ("log.csv", b"search_id,query,query\ns,1,2\n", "two columns are called 'query'"),
    ("log.csv", b"search_id,query\ns,\xff\xfe\n", "line 2: not UTF-8: the byte 0xff"),
    ("log.csv", b"\xff\xfe\x00query\n1\n", "cannot be read"),
    ("log.parquet", b"not parquet at all", "cannot be read"),
    ("log.parquet", b"PAR1", "cannot be read"),
    ("log.arrow", b"ARROW1 and no more", "cannot be read"),
    ("log.duckdb", b"nothing of a database" * 9, "cannot be read"),
    ("log.sqlite", b"nothing of a database" * 9, "cannot be read"),
    ("log.csv.gz", b"search_id,query\n", "cannot be read"),
    ("log.csv.bz2", b"search_id,query\n", "cannot be read"),
    ("log.csv.xz", b"search_id,query\n", "cannot be read"),
    ("log.csv.zst", b"search_id,query\n", "cannot be read"),
    ("log.csv.sz", b"search_id,query\n", "cannot be read"),
    ("log.csv.gz", gzip.compress(b"search_id,query\n" * 99, mtime=0)[:-9], "cannot be read"),
    ("log.parquet.gz", gzip.compress(b"PAR1", mtime=0), "cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), FILES_THAT_ARE_WRONG)
def test_a_file_that_is_no_table_is_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as raised:
        list(table.read_log(LogSource((str(tmp_path / name),))))
    assert name in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize("name", ["log.csv", "log.parquet", "log.duckdb", "log.sqlite", "l.csv.gz"])
def test_a_file_that_is_not_there_is_told(name, tmp_path):
    with pytest.raises(DataError, match=f"{name}: there is no such file"):
        list(table.read_log(LogSource((str(tmp_path / name),))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"colour": "a"}}, "No table holds a 'colour'"),
        ({"sql": "SELECT 1"}, "is no database"),
        ({"format": "tables"}, "There is no log reader 'tables'. Did you mean 'table'?"),
        ({"tolerate": 1.5}, "A share from 0 to below 1"),
    ],
)
def test_wrong_options_are_refused(release, options, message):
    with pytest.raises(RequestError, match=message):
        release(f"{HEAD}\n{GOOD}\n", **({"format": "table"} | options))


@pytest.mark.parametrize("text", ["[columns", "columns = 5", "[columns]\nquery = 7"])
def test_a_wrong_file_of_columns_is_named(text, tmp_path):
    path = write_csv(tmp_path / "log.csv", RESULTS[:3])
    (tmp_path / "log.csv.toml").write_text(text)
    with pytest.raises(DataError, match=r"log\.csv\.toml"):
        list(table.read_log(LogSource((str(path),))))


def test_the_password_of_a_database_is_not_told():
    source = LogSource(("postgresql://me:secret@127.0.0.1:1/shop",), sql="SELECT 1")
    with pytest.raises(DataError) as raised:
        list(table.read_log(source))
    assert "127.0.0.1:1/shop" in str(raised.value)
    assert "secret" not in str(raised.value)


CELL = st.sampled_from(
    ["", "a", "1", "0", "-1", "1.5", "true", "2024-12-10", '"', ",", "\n", "é", "nan"]
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(CELL, min_size=6, max_size=8), min_size=1, max_size=5))
def test_odd_rows_are_read_or_set_aside(tmp_path, rows):
    path = tmp_path / "odd.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEAD.split(","), *rows])
    findings = Findings(tolerated=0.999)
    parts = list(table.read_log(LogSource((str(path),), findings=findings)))
    bad = sum(each.count for each in findings.all() if each.what == BAD_LINES)
    assert sum(len(part.shown) for part in parts) + bad == len(rows)


def test_lists_of_a_row_a_session_may_be_json(release):
    head = "search_id\tquery\titems\tclicked_items"
    with pytest.raises(DataError, match="'items' should be a list of texts, or one in JSON"):
        release(f"{head}\ns\tq\t1, 2\t2\n", "log.tsv")
    assert release(f"{head}\ns\tq\t[1, 2]\t[2]\n", "log.tsv").clicks.tolist() == [0, 1]
