"""Lines of logs and items that nobody wrote in good faith: read rightly, or refused.

A refusal is an error in words that names the file and the line; it comes within seconds, and leaves
nothing.
"""

import json
import time
from pathlib import Path
from typing import Any, Final

import pytest
from hostile_logs import ITEMS, MOST_SECONDS, NO_LINES, SESSIONS, refused, released
from log_writers import ubi_documents, write_json_lines


def shown_and_clicked(kind: str) -> list[dict[str, Any]]:
    """Return the lines of a good log in a format of analytics events: a search and a click."""
    first, second = (item["object_id"] for item in ITEMS[:2])
    if kind == "ga4":
        term = {"key": "search_term", "value": {"string_value": "shoes"}}
        common = {"user_pseudo_id": "u", "event_timestamp": 1_700_000_000_000_000}
        return [
            common | {"event_name": "view_search_results", "event_params": [term]},
            common | {"event_name": "view_item_list", "items": [{"item_id": first, "index": 0},
                {"item_id": second, "index": 1}]},
            common | {"event_name": "select_item", "items": [{"item_id": second}]},
        ]  # fmt: skip
    if kind == "algolia":
        hits = [{"objectID": first}, {"objectID": second}]
        return [
            {"queryID": "q", "query": "shoes", "hits": hits},
            {"queryID": "q", "eventType": "click", "objectIDs": [second]},
        ]
    common = {"anonymousId": "u"}
    listed = [{"product_id": first}, {"product_id": second}]
    return [
        common | {"event": "Products Searched", "properties": {"query": "shoes"}},
        common | {"event": "Product List Viewed", "properties": {"products": listed}},
        common | {"event": "Product Clicked", "properties": {"product_id": second}},
    ]


LOGS: Final[dict[str, list[dict[str, Any]]]] = {
    "embedding-studio": SESSIONS,
    "ubi": ubi_documents(SESSIONS),
    **{kind: shown_and_clicked(kind) for kind in ("ga4", "algolia", "ecommerce")},
}


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with good items."""
    write_json_lines(tmp_path / "items.jsonl", ITEMS)
    return tmp_path


@pytest.mark.parametrize("name", NO_LINES)
@pytest.mark.parametrize("kind", LOGS)
def test_a_line_that_is_no_object_is_refused_by_its_number(desk: Path, kind: str, name: str):
    log = write_json_lines(desk / "log.jsonl", LOGS[kind])
    line, problem = NO_LINES[name]
    with log.open("ab") as end:
        end.write(line + b"\n")
    with refused(desk, f"log.jsonl, line {len(LOGS[kind]) + 1}: ", problem):
        released(desk, log, format=kind)


@pytest.mark.parametrize("name", NO_LINES)
def test_a_line_of_items_that_is_no_object_is_refused(desk: Path, name: str):
    line, problem = NO_LINES[name]
    with (desk / "items.jsonl").open("ab") as end:
        end.write(line + b"\n")
    log = write_json_lines(desk / "log.jsonl", SESSIONS)
    with refused(desk, f"items.jsonl, line {len(ITEMS) + 1}: ", problem):
        released(desk, log)


# Objects with fields that hold something else.

FIELDS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "a session without results": (
        "embedding-studio", {"session_id": "x", "search_query": "q", "search_results": None}),
    "results that are a text": (
        "embedding-studio", {"session_id": "x", "search_query": "q", "search_results": "abc"}),
    "a session id of 10,000 characters": (
        "embedding-studio", {"session_id": "x" * 10_000, "search_query": "q",
                             "search_results": []}),
    "a session id that comes twice": ("embedding-studio", SESSIONS[0]),
    "an endless rank": (
        "embedding-studio", {"session_id": "x", "search_query": "q", "search_results":
                             [{"object_id": "a", "rank": 1e308}]}),
    "an event on nothing": (
        "embedding-studio", {"session_id": "x", "search_query": "q", "search_results": [],
                             "events": [{"object_id": "a"}]}),
    "a name that is a list": ("ubi", {"query_id": ["x"], "user_query": "q"}),
    "a name that is true": ("ubi", {"query_id": True, "user_query": "q"}),
    "a time of 400 digits": ("ubi", {"query_id": "x", "user_query": "q", "timestamp": 10**400}),
    "a time that never was": (
        "ubi", {"query_id": "x", "user_query": "q", "timestamp": "2024-02-30T00:00:00Z"}),
    "a time before all time": (
        "ubi", {"query_id": "x", "user_query": "q", "timestamp": -(10**30)}),
    "a query that is a number": ("ubi", {"query_id": "x", "user_query": 7}),
    "hits that are an object": (
        "ubi", {"query_id": "x", "user_query": "q", "query_response_hit_ids": {"a": 1}}),
    "attributes that are a list": ("ubi", {"query_id": "x", "action_name": "click",
                                           "event_attributes": [1]}),
    "a negative position": (
        "ubi", {"query_id": "x", "action_name": "impression", "event_attributes":
                {"object": {"object_id": "a"}, "position": {"ordinal": -1}}}),
    "a position of 5000 digits in a text": (
        "ubi", {"query_id": "x", "action_name": "impression", "event_attributes":
                {"object": {"object_id": "a"}, "position": {"ordinal": "9" * 5000}}}),
    "a position of 400 digits": (
        "ubi", {"query_id": "x", "action_name": "impression", "event_attributes":
                {"object": {"object_id": "a"}, "position": {"ordinal": 10**400}}}),
    "a document that is a number of 400 digits": ("ubi", {"_source": 10**400}),
    "params that are no objects": (
        "ga4", {"event_name": "view_search_results", "event_params": ["search_term"]}),
    "an event without a name": ("ga4", {"event_params": []}),
    "an item without a name": (
        "ga4", {"event_name": "select_item", "event_params": [], "items": [{"index": 1}]}),
    "an index of 400 digits": (
        "ga4", {"event_name": "view_item_list", "event_params": [],
                "items": [{"item_id": "a", "index": 10**400}]}),
    "a page of 400 digits": ("algolia", {"queryID": "x", "hits": [], "page": 10**400}),
    "a hit that is a text": ("algolia", {"queryID": "x", "hits": ["a"]}),
    "a kind that is an object": ("algolia", {"queryID": "x", "eventType": {"a": 1}}),
    "properties that are a list": ("ecommerce", {"event": "Products Searched", "properties": [1]}),
    "a product without an id": ("ecommerce", {"event": "Product Clicked", "properties": {}}),
    "a user of 10,000 characters": (
        "ecommerce", {"event": "Products Searched", "anonymousId": "u" * 10_000}),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_holds_something_else_is_refused_by_its_line(desk: Path, name: str):
    kind, line = FIELDS[name]
    log = write_json_lines(desk / "log.jsonl", [*LOGS[kind], line])
    with refused(desk, f"log.jsonl, line {len(LOGS[kind]) + 1}"):
        released(desk, log, format=kind)


ODD_BUT_RIGHT: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "a dwell time of 400 digits": (
        "ubi", {"query_id": "none", "action_name": "dwell",
                "event_attributes": {"dwell_time": 10**400}}),
    "an ignored field of 60 levels": ("embedding-studio", SESSIONS[0] | {
        "session_id": "x", "more": json.loads("[" * 60 + "]" * 60)}),
    "an ignored number of 400 digits": ("embedding-studio", SESSIONS[0] | {
        "session_id": "x", "more": 10**400}),
    "a field that is named like a method": ("embedding-studio", SESSIONS[0] | {
        "session_id": "x", "__class__": "os.system", "model_config": {}}),
    "a query of a megabyte": ("embedding-studio", SESSIONS[0] | {
        "session_id": "x", "search_query": "q" * 1_000_000}),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_BUT_RIGHT)
def test_what_is_odd_but_no_harm_is_read(desk: Path, name: str):
    kind, line = ODD_BUT_RIGHT[name]
    log = write_json_lines(desk / "log.jsonl", [*LOGS[kind], line])
    began = time.process_time()
    assert released(desk, log, format=kind).counts.sessions >= len(SESSIONS)
    assert time.process_time() - began < MOST_SECONDS
