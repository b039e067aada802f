import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from log_lines import assert_refused, read_tolerantly
from log_writers import bulk_lines, ubi_documents, write_json_lines

from hooktune import DataError, Findings, LogSource, open_batch, release_batch
from hooktune.testing import made_up_log
from hooktune_logs import ubi

SAMPLE = Path(os.environ.get("HOOKTUNE_UBI_SAMPLE", "no-sample"))

QUERY = {"query_id": "q1", "user_query": "red shoes", "timestamp": "2024-12-10T00:01:29Z"}


def event(kind: str, item: Any = "7", position: Any = None, **fields: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {"object": {"object_id": item}}
    if position is not None:
        attributes["position"] = {"ordinal": position}
    return {"action_name": kind, "query_id": "q1", "event_attributes": attributes} | fields


def counts_of(manifest) -> dict[str, int]:
    return {finding.what: finding.count for finding in manifest.found}


@pytest.fixture
def release(tmp_path):
    items = [{"object_id": str(number), "text": f"shoe {number}"} for number in range(10)]
    write_json_lines(tmp_path / "items.jsonl", items)

    def released(documents, name="log.ndjson", **options):
        log = write_json_lines(tmp_path / name, documents)
        return release_batch(log, tmp_path / "items.jsonl", tmp_path / f"{name}.batch", **options)

    return released


@pytest.fixture
def shown_of(release, tmp_path):
    """Releases documents; returns each search's items with their positions and clicks."""

    def shown(documents):
        name = f"log-{len(list(tmp_path.iterdir()))}"
        release(documents, name, format="ubi")
        batch = open_batch(tmp_path / f"{name}.batch")
        sessions = batch.sessions
        rows = zip(
            batch.object_ids.take(sessions.item_index).to_pylist(),
            sessions.positions.tolist(),
            sessions.clicks.tolist(),
            strict=True,
        )
        return list(rows)

    return shown


def test_queries_and_events_become_sessions(release, tmp_path):
    documents = [
        QUERY, event("impression", "7", 1), event("impression", "9", 2), event("click", "9"),
        event("add_to_cart", "9"),
    ]  # fmt: skip
    manifest = release(documents)
    sessions = open_batch(tmp_path / "log.ndjson.batch").sessions
    assert manifest.log_format == "ubi"
    assert sessions.session_ids.to_pylist() == ["q1"]
    assert sessions.queries.to_pylist() == ["red shoes"]
    assert sessions.clicks.tolist() == [0, 1]
    assert [(each.kind, each.count, each.is_click) for each in manifest.events] == [
        ("click", 1, True), ("add_to_cart", 1, False),
    ]  # fmt: skip
    assert counts_of(manifest)["event documents"] == 4


def test_bulk_lines_a_dump_and_shuffled_documents_give_one_batch(release, tmp_path):
    sessions, items = made_up_log()
    documents = ubi_documents(sessions)
    write_json_lines(tmp_path / "items.jsonl", items)
    ids = [
        release(documents, "lines").batch_id,
        release(bulk_lines(documents), "bulk").batch_id,
        release([{"_index": "any", "_id": "1", "_source": each} for each in documents], "dump")
        .batch_id,
        release(random.Random(0).sample(documents, len(documents)), "shuffled").batch_id,
        release(ubi_documents(sessions, first_position=0), "from-0").batch_id,
    ]  # fmt: skip
    assert len(set(ids)) == 1


def test_positions_from_0_and_from_1_are_told_apart_by_application(release, shown_of):
    documents = [
        QUERY | {"application": "a"}, QUERY | {"query_id": "q2", "application": "b"},
        event("impression", "1", 0, application="a"), event("impression", "2", 1, application="a"),
        event("impression", "1", 1, application="b", query_id="q2"),
        event("impression", "2", 2, application="b", query_id="q2"),
    ]  # fmt: skip
    assert shown_of(documents) == [("1", 1, 0), ("2", 2, 0)] * 2
    told = counts_of(release(documents, "again"))
    assert told["applications whose positions begin at 0"] == 1


def test_a_position_may_be_a_number_itself_or_missing(shown_of):
    plain = event("impression", "1") | {"event_attributes": {
        "object": {"object_id": "1"}, "position": 2}}  # fmt: skip
    assert shown_of([QUERY, plain, event("impression", "2", "1")]) == [("2", 1, 0), ("1", 2, 0)]
    assert shown_of([QUERY, event("impression", 3), event("impression", 2)])[0] == ("3", 1, 0)


def test_hits_stand_for_impressions_only_where_there_are_none(shown_of):
    hits = QUERY | {"query_response_hit_ids": ["5", "6", "7"]}
    assert shown_of([hits, event("click", "6")]) == [("5", 1, 0), ("6", 2, 1), ("7", 3, 0)]
    assert shown_of([hits, event("impression", "6", 1)]) == [("6", 1, 0)]


def test_what_no_session_can_hold_is_counted_with_examples(release, tmp_path):
    documents = [
        QUERY, QUERY, QUERY | {"user_query": "blue shoes"}, {"query_id": "q9", "user_query": " "},
        event("impression", "1", 1), event("impression", "1", 3),
        event("click", "1", query_id="q8"), event("click", "1", query_id=None),
        event("click", "2"), event("hover", None),
        *[event("click", "1", timestamp=1733788895000)] * 2, event("view", "1", timestamp=""),
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"Nothing is left .* 1 x session with a click on a res"):
        release(documents)
    others = [QUERY | {"query_id": "q2"}, event("impression", "3", 1, query_id="q2")]
    manifest = release([*documents, *others])
    counted = counts_of(manifest)
    for what, count in {
        "query documents": 5,
        "query documents without an id or a query": 1,
        "times as text": 4,
        "times as a number since 1970": 2,
        "searches": 2,
        "searches stated again": 2,
        "searches stated again with another query, of which the first counts": 1,
        "results shown again in the same search, of which the first counts": 1,
        "events without a search": 1,
        "results and events of searches that the log does not state": 1,
        "events without a result": 1,
        "events stated again": 1,
        "clicks": 5,
        "clicks on results that were not shown": 2,
        "searches with shown results and clicks": 1,
    }.items():
        assert counted[what] == count, what
    (example,) = next(e.examples for e in manifest.found if e.what == "events without a search")
    assert example == f"{tmp_path / 'log.ndjson'}, line 8: click on 1"


MALFORMED = [
    ("{", "not JSON"),
    ("[1]", "each line should be one JSON object"),
    ("{}", "neither a query nor an event of UBI"),
    ('{"query_id": ["q"], "user_query": "a"}', "'query_id' should be a text"),
    ('{"query_id": true, "user_query": "a"}', "'query_id' should be a text"),
    ('{"query_id": "%s", "user_query": "a"}' % ("q" * 600), "'query_id' has 600 characters"),
    ('{"query_id": "q", "user_query": 7}', "'user_query' should be a text"),
    ('{"query_id": "q", "user_query": {"text": "a"}}', "'user_query' should be a text"),
    (
        '{"query_id": "q", "user_query": "a", "timestamp": "yesterday"}',
        "'timestamp' should be a tim",
    ),
    ('{"query_id": "q", "user_query": "a", "timestamp": "2024-13-01"}', "'timestamp' should be"),
    ('{"query_id": "q", "user_query": "a", "timestamp": true}', "'timestamp' should be a time"),
    ('{"query_id": "q", "user_query": "a", "timestamp": 1e30}', "'timestamp' should be a time"),
    ('{"query_id": "q", "user_query": "a", "timestamp": [1]}', "'timestamp' should be a time"),
    ('{"query_id": "q", "user_query": "a", "query_response_hit_ids": "7"}', "should be a list"),
    ('{"query_id": "q", "user_query": "a", "query_response_hit_ids": [{}]}', "hit_ids' should be"),
    ('{"query_id": "q", "user_query": "a", "application": 1.5}', "'application' should be a text"),
    ('{"action_name": null, "query_id": "q"}', "'action_name' is empty"),
    ('{"action_name": "", "query_id": "q"}', "'action_name' is empty"),
    ('{"action_name": 1.5, "query_id": "q"}', "'action_name' should be a text"),
    ('{"action_name": "click", "event_attributes": []}', "'event_attributes' should be an object"),
    ('{"action_name": "click", "event_attributes": {"object": "7"}}', "'object' should be an obj"),
    ('{"action_name": "click", "event_attributes": {"object": {"object_id": [7]}}}', "'object_id'"),
    ('{"_source": 5}', "'_source' should be an object"),
    ('{"index": {"_index": "ubi_queries"}}', "the document of this action is missing"),
    *(
        (json.dumps(event("impression", "7", position)), "'position.ordinal' should be a whole num")
        for position in (-1, 1.5, True, "third", 10**9, [1])
    ),
]


@pytest.mark.parametrize(("line", "message"), MALFORMED)
def test_a_line_that_cannot_be_used_is_named_and_may_be_set_aside(line, message, tmp_path):
    log = tmp_path / "log.ndjson"
    log.write_text(json.dumps(QUERY) + "\n\n" + line, encoding="utf-8")
    assert_refused(ubi, log, 3, message)
    _, findings = read_tolerantly(ubi, log, 0.9)
    findings.check_tolerance()
    bad = next(each for each in findings.all() if each.what.startswith("lines that cannot be used"))
    assert bad.count == 1
    assert message in bad.examples[0]


def test_more_bad_lines_than_tolerated_are_an_error(release):
    documents = [QUERY, event("impression", "1", 1), *["oops"] * 2, *[QUERY] * 6]
    with pytest.raises(DataError, match=r"2 of 10 lines cannot be used, and 10.*tolerated.*line 3"):
        release(documents, format="ubi", tolerate=0.1)
    assert counts_of(release(documents, format="ubi", tolerate=0.2))["searches"] == 1


KEYS = st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=5,
)
FIELDS = ("query_id", "user_query", "action_name", "timestamp", "event_attributes", "application")
DOCUMENT = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(DOCUMENT, min_size=1, max_size=4))
def test_odd_documents_are_read_or_refused_with_their_line(tmp_path, documents):
    log = write_json_lines(tmp_path / "odd.ndjson", documents)
    findings = Findings(tolerated=0.999)
    parts = list(ubi.read_log(LogSource((str(log),), findings=findings)))
    found = {each.what: each for each in findings.all()}
    bad = found.get("lines that cannot be used, set aside")
    assert all("odd.ndjson, line " in example for example in (bad.examples if bad else ()))
    read = sum(
        found[kind].count for kind in ("query documents", "event documents") if kind in found
    )
    assert read + (bad.count if bad else 0) <= len(documents)
    assert sum(len(part.happened) for part in parts) <= read


@pytest.mark.skipif(not SAMPLE.exists(), reason="HOOKTUNE_UBI_SAMPLE names no file")
def test_the_published_sample_is_counted_and_released(tmp_path):
    documents = [json.loads(line) for line in SAMPLE.read_text("utf-8").splitlines()]
    names = {}
    for document in documents:
        found = (document.get("event_attributes") or {}).get("object") or {}
        if "object_id" in found:
            names[found["object_id"]] = found.get("description") or found["object_id"]
    items = [{"object_id": name, "text": text} for name, text in names.items()]
    write_json_lines(tmp_path / "items.jsonl", items)
    manifest = release_batch(SAMPLE, tmp_path / "items.jsonl", tmp_path / "batch", format="ubi")
    counted = Counter(counts_of(manifest))
    assert counted["searches"] == 284
    assert counted["query documents"] == 473
    assert counted["searches stated again"] == 189
    assert counted["event documents"] == 3448
    assert counted["results and events of searches that the log does not state"] == 944
    assert counted["events without a search"] == 2
    assert counted["clicks"] == 287
    assert counted["clicks on results that were not shown"] == 41
    assert counted["searches with shown results"] == 262
    assert counted["searches with clicks"] == 93
    assert counted["searches with shown results and clicks"] == 91
    assert counted["searches without a shown result"] == 28
    assert counted["times as a number since 1970"] == 429
    assert manifest.counts.sessions > 200
