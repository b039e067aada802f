"""Collections in BEIR's form, as logs and as judgements, and batches written as such."""

import contextlib
import gzip
import json

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_writers import write_json_lines

from hooktune import DataError, EventWeight, RequestError, export_beir, open_batch, release_batch
from hooktune.cli import cli
from hooktune.data.judgements import read_judgements
from hooktune.testing import made_up_log

QRELS = [("q1", "d1", 2), ("q1", "d2", 0), ("q2", "d3", 1), ("q2", "d1", 0)]


@pytest.fixture
def collection(tmp_path):
    folder = tmp_path / "collection"
    (folder / "qrels").mkdir(parents=True)
    write_json_lines(
        folder / "corpus.jsonl",
        ({"_id": f"d{n}", "title": f"title {n}", "text": f"text {n}"} for n in (1, 2, 3)),
    )
    write_json_lines(
        folder / "queries.jsonl",
        ({"_id": f"q{n}", "text": f"query {n}", "metadata": {}} for n in (1, 2, 3)),
    )
    write_qrels(folder, QRELS)
    return folder


def write_qrels(folder, rows):
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in rows)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")


def released(folder, to, **options):
    manifest = release_batch(
        folder / "qrels" / "test.tsv",
        folder / "corpus.jsonl",
        to,
        text="{title}. {text}",
        **options,
    )
    return manifest, open_batch(to)


def test_judged_items_become_what_a_search_showed(collection, tmp_path):
    manifest, batch = released(collection, tmp_path / "batch")
    assert manifest.log_format == "beir"
    sessions = batch.sessions
    assert sessions.session_ids.to_pylist() == ["q1", "q2"]
    assert sessions.queries.to_pylist() == ["query 1", "query 2"]
    assert sessions.clicks.tolist() == [1, 0, 1, 0]
    assert sessions.items.to_pylist()[0] == "title 1. text 1"
    weighted = released(
        collection, tmp_path / "weighted", event_weights=[EventWeight("click", 2, at_least=2)]
    )[1].sessions
    assert weighted.grades.tolist() == [2, 0, 0, 0]


def test_the_queries_may_lie_beside_the_qrels_and_be_compressed(collection, tmp_path):
    queries = collection / "queries.jsonl"
    (collection / "qrels" / "queries.jsonl.gz").write_bytes(gzip.compress(queries.read_bytes()))
    queries.unlink()
    assert released(collection, tmp_path / "batch")[0].counts.sessions == 2
    (collection / "qrels" / "queries.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"there is no queries\.jsonl with their texts beside"):
        released(collection, tmp_path / "none")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("q9", "d1", 1), r"line 2: the query 'q9' is none of queries\.jsonl"),
        (("q1", "d1"), "line 2: 2 fields, and not query-id, corpus-id, score"),
        (("q1", "d1", "much"), "line 2: the score 'much' is no number"),
        (("q1", "d1", "nan"), "line 2: the score 'nan' is no number"),
        (("q1", " ", "1"), "line 2: an id is empty"),
        (("q1", "d" * 513, "1"), "line 2: an id is empty or has more than 512"),
    ],
)
def test_a_wrong_line_is_named_and_set_aside_where_that_is_tolerated(
    collection, tmp_path, row, message
):
    write_qrels(collection, [row, *QRELS])
    with pytest.raises(DataError, match=message):
        released(collection, tmp_path / "batch")
    manifest = released(collection, tmp_path / "batch", tolerate=0.2)[0]
    assert manifest.counts.sessions == 2
    assert message.split(":")[0] in manifest.found[0].examples[0]


@pytest.mark.parametrize("query", [{"_id": "q1"}, {"text": "query"}, {"_id": "q1", "text": " "}])
def test_a_wrong_query_is_named(collection, tmp_path, query):
    write_json_lines(collection / "queries.jsonl", [query])
    with pytest.raises(DataError, match="line 1: a query has an '_id' and a 'text'"):
        released(collection, tmp_path / "batch")


def test_judgements_are_read_from_a_collection(collection):
    grades = {"query 1": {"d1": 2, "d2": 0}, "query 2": {"d3": 1, "d1": 0}}
    for path in (collection, collection / "qrels" / "test.tsv"):
        judgements = read_judgements(path)
        assert judgements.grades == grades
        assert not judgements.is_qrels
    write_qrels(collection, [*QRELS, ("q9", "d1", 1)])
    with pytest.raises(DataError, match="line 6: the query 'q9' is none of"):
        read_judgements(collection)


def test_a_batch_comes_back_from_what_it_was_written_as(tmp_path):
    for name, rows in zip(("log", "items"), made_up_log(), strict=True):
        write_json_lines(tmp_path / name, rows)
    release_batch(tmp_path / "log", tmp_path / "items", tmp_path / "batch")
    folder = tmp_path / "collection"
    done = CliRunner().invoke(
        cli, ["batch", "export", str(tmp_path / "batch"), "--to", str(folder)]
    )
    assert done.stdout == f"{folder}\n"
    sessions = open_batch(tmp_path / "batch").sessions
    clicked = {}
    for query, item, is_clicked in zip(
        sessions.query_index[sessions.session_index], sessions.item_index, sessions.clicked,
        strict=True,
    ):  # fmt: skip
        text = sessions.queries[int(query)].as_py()
        pair = (text, sessions.items[int(item)].as_py())
        clicked[pair] = clicked.get(pair, 0) or int(is_clicked)
    release_batch(
        folder / "qrels" / "test.tsv", folder / "corpus.jsonl", tmp_path / "again", text="{text}"
    )
    again = open_batch(tmp_path / "again").sessions
    assert {
        (again.queries[int(query)].as_py(), again.items[int(item)].as_py()): int(is_clicked)
        for query, item, is_clicked in zip(
            again.query_index[again.session_index], again.item_index, again.clicked, strict=True
        )
    } == clicked
    with pytest.raises(RequestError, match=r"collection exists\. Name a folder to be made"):
        export_beir(open_batch(tmp_path / "batch"), folder)


def test_weights_are_scores_rounded_up(collection, tmp_path):
    weights = [EventWeight("click", 0.5), EventWeight("click", 2.5, at_least=2)]
    batch = released(collection, tmp_path / "batch", event_weights=weights)[1]
    lines = (export_beir(batch, tmp_path / "out") / "qrels" / "test.tsv").read_text().splitlines()
    assert lines[1:] == ["q1\td1\t3", "q1\td2\t0", "q2\td1\t0", "q2\td3\t1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("collection")
    (made / "qrels").mkdir()
    return made


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_qrels_or_refused_with_its_place(folder, qrels, queries):
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "q"}) + "\n" + queries)
    with contextlib.suppress(DataError):
        assert read_judgements(folder).grades
