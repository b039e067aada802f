import json

import pytest
from log_lines import assert_refused, read_tolerantly
from log_writers import write_json_lines

from hooktune import open_batch, release_batch
from hooktune_logs import algolia, ecommerce, ga4


def ga4_event(name, time, items=(), **params):
    values = {key: {"string_value": value} for key, value in params.items()}
    return {
        "event_name": name, "event_timestamp": str(time), "user_pseudo_id": "u",
        "event_params": [{"key": "ga_session_id", "value": {"int_value": "7"}},
                         *({"key": key, "value": value} for key, value in values.items())],
        "items": [{"item_id": item, "index": place} for place, item in items],
    }  # fmt: skip


def track(name, time, **properties):
    return {
        "type": "track", "event": name, "anonymousId": "u", "properties": properties,
        "timestamp": f"2024-12-10T00:01:{time:02}Z",
    }  # fmt: skip


GA4 = [
    ga4_event("session_start", 1_733_788_889_000_000),
    ga4_event("view_search_results", 1_733_788_890_000_000, search_term="red shoes"),
    ga4_event("view_item_list", 1_733_788_891_000_000, [(0, "7"), ("1", "9")]),
    ga4_event("select_item", 1_733_788_895_000_000, [(1, "9")]),
]
ECOMMERCE = [
    track("Products Searched", 1, query="red shoes"),
    track("Product List Viewed", 2, products=[{"product_id": "7", "position": 1},
                                              {"product_id": "9", "position": 2}]),
    track("Product Clicked", 5, product_id="9", position=2),
    track("Signed In", 6),
]  # fmt: skip
ALGOLIA = [
    {"queryID": "q", "query": "red shoes", "hits": [{"objectID": "7"}, {"objectID": "9"}]},
    {"eventType": "click", "eventName": "Clicked", "queryID": "q", "objectIDs": ["9"],
     "positions": [2], "userToken": "u", "timestamp": 1733788895000},
]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "name"), [(GA4, "ga4"), (ECOMMERCE, "ecommerce"), (ALGOLIA, "algolia")]
)
def test_an_export_is_recognised_and_joined(events, name, tmp_path):
    log = write_json_lines(tmp_path / "log.jsonl", events)
    items = [{"object_id": item, "text": item} for item in "79"]
    write_json_lines(tmp_path / "items.jsonl", items)
    manifest = release_batch(log, tmp_path / "items.jsonl", tmp_path / "batch")
    sessions = open_batch(tmp_path / "batch").sessions
    assert manifest.log_format == name
    assert sessions.queries.to_pylist() == ["red shoes"]
    assert sessions.positions.tolist() == [1, 2]
    assert sessions.clicks.tolist() == [0, 1]
    counts = {finding.what: finding.count for finding in manifest.found}
    assert ("applications whose positions begin at 0" in counts) == (name == "ga4")
    assert counts.get("objects that say nothing of a search, passed over", 0) == (name != "algolia")


def test_an_event_goes_to_the_search_before_it(tmp_path):
    again = [
        track("Products Searched", 10, query="socks"),
        track("Product List Viewed", 11, products=[{"sku": "9"}]),
        track("Product Clicked", 12, sku="9"),
    ]
    log = write_json_lines(tmp_path / "log.jsonl", [*again[1:], *ECOMMERCE, *again])
    items = write_json_lines(tmp_path / "i.jsonl", [{"object_id": i, "text": i} for i in "79"])
    manifest = release_batch(log, items, tmp_path / "batch")
    assert (manifest.counts.sessions, manifest.counts.clicks) == (2, 2)
    counts = {finding.what: finding.count for finding in manifest.found}
    assert counts["events without a search"] == 2


MALFORMED = [
    (ga4, {}, "'event_name' is missing"),
    (ga4, {"event_name": 1.5}, "'event_name' should be a text"),
    (ga4, ga4_event("search", "soon"), "'event_timestamp' should be a time"),
    (ga4, ga4_event("select_item", 1, [(-1, "7")]), "'index' should be a whole number"),
    (ga4, ga4_event("select_item", 1, [(0, None)]), "an item has no 'item_id'"),
    (ga4, ga4_event("select_item", 1) | {"items": "7"}, "'items' should be a list"),
    (ga4, ga4_event("select_item", 1) | {"event_params": [5]}, "should be a list of objects"),
    (ga4, ga4_event("select_item", 1) | {"event_params": {}}, "'event_params' should be a list"),
    (ecommerce, track("Product Clicked", 1), "an item has no 'product_id'"),
    (ecommerce, track("Product Clicked", 1, product_id=[7]), "'product_id' should be a text"),
    (ecommerce, track("Product Clicked", 1, product_id="7", position="x"), "'position' should be"),
    (ecommerce, track("Product List Viewed", 1, products="7"), "'products' should be a list"),
    (ecommerce, track("Products Searched", 1, query=["a"]), "'query' should be a text"),
    (ecommerce, track("Products Searched", 61, query="a"), "'timestamp' should be a time"),
    (ecommerce, {"event": "Product Clicked", "properties": 5}, "'properties' should be an object"),
    (algolia, {"queryID": ["q"], "query": "a"}, "'queryID' should be a text"),
    (algolia, {"queryID": "q", "query": "a", "hits": 5}, "'hits' should be a list"),
    (algolia, {"queryID": "q", "query": "a", "hits": [{}]}, "an item has no 'objectID'"),
    (algolia, {"queryID": "q", "query": "a", "page": -1}, "'page' should be a whole number"),
    (algolia, {"eventType": "click", "objectIDs": [None]}, "an item has no 'objectID'"),
    (algolia, {"eventType": "click", "timestamp": "late"}, "'timestamp' should be a time"),
]


@pytest.mark.parametrize(("reader", "line", "message"), MALFORMED)
def test_a_line_that_cannot_be_used_is_named_and_may_be_set_aside(reader, line, message, tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(f"\n{json.dumps(line)}\n", encoding="utf-8")
    assert_refused(reader, log, 2, message)
    _, findings = read_tolerantly(reader, log, 0.9)
    assert [(each.count, message in each.examples[0]) for each in findings.all()] == [(1, True)]
