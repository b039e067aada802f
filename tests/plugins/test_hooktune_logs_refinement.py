"""By what results were sorted or filtered, as each kind of log states it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_writers import write_json_lines

from hooktune import DataError, LogSource
from hooktune_logs import algolia, ecommerce, ubi
from hooktune_logs.refinement import refinement


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        (None, None), ("", None), ("relevance", None), ("Best Match", None), ([], None), ({}, None),
        ("[]", None), ("price asc", "price asc"), (7, "7"), ([{"a": 1}], '[{"a": 1}]'),
    ],
)  # fmt: skip
def test_what_is_the_engines_own_order_is_none(stated, meant):
    assert refinement(stated) == meant


@given(st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.text()))
def test_any_text_list_or_object_says_something_short_or_nothing(stated):
    found = refinement(stated)
    assert found is None or 0 < len(found) <= 512


def refined(reader, tmp_path, *lines):
    log = write_json_lines(tmp_path / "log.jsonl", lines)
    rows = [
        row for part in reader.read_log(LogSource((str(log),))) for row in part.shown.to_pylist()
    ]
    return {(row["sorting"], row["filters"]) for row in rows}


def test_e_commerce_events_state_sorts_and_filters(tmp_path):
    event = {"event": "Product List Filtered", "anonymousId": "u", "timestamp": 1700000000}
    listed = {"search_id": "s", "query": "q", "products": [{"product_id": "7", "position": 1}]}
    sorts, filters = [{"type": "price", "value": "desc"}], [{"type": "brand", "value": "Acme"}]
    found = refined(ecommerce, tmp_path, event | {"properties": listed | {"sorts": sorts}})
    assert {each[0] for each in found} == {'[{"type": "price", "value": "desc"}]'}
    found = refined(ecommerce, tmp_path, event | {"properties": listed | {"filters": filters}})
    assert {each[1] for each in found} == {'[{"type": "brand", "value": "Acme"}]'}
    wrong = event | {"properties": listed | {"sorts": 1.5}}
    with pytest.raises(DataError, match="line 1: the field 'sorts' should be a text or a list"):
        refined(ecommerce, tmp_path, wrong)


def test_algolia_repeats_its_filters_in_params(tmp_path):
    response = {"queryID": "s", "query": "q", "hits": [{"objectID": "7"}], "timestamp": 1700000000}
    asked = "query=q&filters=brand%3AAcme&hitsPerPage=20"
    assert refined(algolia, tmp_path, response | {"params": asked}) == {(None, "brand:Acme")}
    assert refined(algolia, tmp_path, response | {"params": "query=q"}) == {(None, None)}


def test_ubi_states_them_among_the_attributes_of_a_query(tmp_path):
    query = {"query_id": "s", "user_query": "q", "query_response_hit_ids": ["7"]}
    attributes = {"sort": "price", "filters": {"brand": "Acme"}}
    found = refined(ubi, tmp_path, query | {"query_attributes": attributes})
    assert found == {("price", '{"brand": "Acme"}')}
    assert refined(ubi, tmp_path, query | {"query_attributes": "none"}) == {(None, None)}
