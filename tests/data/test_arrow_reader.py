"""Arrow reads a log as pydantic does, or leaves it to pydantic."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hooktune.contract import json_lines
from hooktune.data import arrow_reader
from hooktune.data.arrow_reader import read_session_blocks
from hooktune.data.jsonl import read_sessions
from hooktune.data.session_block import SessionBlock, block_of
from hooktune.errors import DataError

SESSION = {
    "session_id": "s1",
    "search_query": " warm socks ",
    "search_results": [{"object_id": "7", "rank": 0.5}, {"object_id": "b"}, {"object_id": "7"}],
    "events": [{"object_id": "b", "event_type": "click", "created_at": 17}],
    "user_id": None,
}


def write(path: Path, *lines: object) -> Path:
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_bytes("\n".join(texts).encode("utf-8", "surrogatepass"))
    return path


def stated(block: SessionBlock) -> dict[str, Any]:
    """What a block says, in Python's terms."""
    columns = {name: getattr(block, name) for name in SessionBlock.__dataclass_fields__}
    listed = {
        name: column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()
        for name, column in columns.items()
        if column is not None
    }
    return {**listed, "rank": [None if rank != rank else rank for rank in listed["rank"]]}


def read_both_ways(path: Path) -> tuple[object, object]:
    """What pydantic and what the quicker reader make of a log: columns, or an error message."""

    def outcome(read: Any) -> object:
        try:
            return [stated(block) for block in read()]
        except DataError as error:
            return str(error)

    return (
        outcome(lambda: [block_of(list(read_sessions(path)))]),
        outcome(lambda: list(read_session_blocks(path))),
    )


def was_read_by_arrow(*lines: object) -> bool:
    content = [(line if isinstance(line, str) else json.dumps(line)).encode() for line in lines]
    return arrow_reader._read_block(content, None)[0] is not None


def test_a_block_holds_the_columns_of_its_sessions(tmp_path):
    (block,) = read_session_blocks(write(tmp_path / "log", SESSION, {**SESSION, "session_id": 2}))
    assert block.session_ids.to_pylist() == ["s1", "2"]
    assert block.queries.to_pylist() == ["warm socks", "warm socks"]
    assert block.lengths.tolist() == [3, 3]
    assert block.object_ids.to_pylist() == ["7", "b"]
    assert block.shown.tolist() == [0, 1, 0, 0, 1, 0]
    assert block.is_first.tolist() == [True, True, False] * 2
    assert block.event_results.tolist() == [1, 4]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"session_id": 12, "created_at": 1.5, "user_id": 3},
        {"created_at": "2024-01-01", "device": {"kind": ["phone", None]}},
        {"search_results": [{"object_id": 1, "rank": 2}], "events": [{"object_id": 1}]},
        {"search_results": [], "events": []},
    ],
)
def test_what_logs_usually_hold_is_read_by_arrow(changed):
    assert was_read_by_arrow({**SESSION, **changed})


def test_the_types_may_change_within_a_log(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 1)
    changes = [{}, {"session_id": 5}, {"created_at": 3}, {"created_at": "x"}, {"user_id": 0.5}]
    path = write(
        tmp_path / "log",
        *({"session_id": f"s{place}", **SESSION | changes[place + 1]} for place in range(2)),
        *({**SESSION, **change, "session_id": place} for place, change in enumerate(changes)),
    )
    pydantic, arrow = read_both_ways(path)
    assert isinstance(pydantic, list)
    assert isinstance(arrow, list)
    assert [name for block in arrow for name in block["session_ids"]] == (
        pydantic[0]["session_ids"]
    )


def test_a_repeated_session_id_is_found_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 1)
    path = write(tmp_path / "log", SESSION, {**SESSION, "session_id": 2}, "", SESSION)
    with pytest.raises(DataError, match="line 4: the session id 's1' stands on line 1 already"):
        list(read_session_blocks(path))


def test_an_error_after_many_blocks_names_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 1)
    path = write(tmp_path / "log", "", SESSION, {**SESSION, "session_id": 2, "search_query": ""})
    with pytest.raises(DataError, match="line 3: session 2: the field 'search_query' is empty"):
        list(read_session_blocks(path))


TEXTS = st.one_of(
    st.sampled_from(["a", "b", "7", "é", "靴🥿", "2024-01-01", "null", "NaN", " b ", "x" * 513]),
    st.text(max_size=3),
)
NUMBERS = st.one_of(
    st.integers(-9, 9),
    st.sampled_from([10**15, 2**63, -(10**40), 10**400, -0.0, 0.1, 1e39, float("nan"), 1e-320]),
    st.floats(),
)
ODD = st.one_of(st.none(), st.booleans(), st.just([]), st.just({}), NUMBERS, TEXTS)
NAMES = st.one_of(st.sampled_from(["a", "b", "é"]), st.sampled_from(["a", "b", 7]), ODD)


def objects(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required, optional=optional)


def sessions(name: Any, result: Any, event: Any, odd: Any) -> st.SearchStrategy[Any]:
    return objects(
        {
            "session_id": name,
            "search_query": TEXTS,
            "search_results": st.lists(result, max_size=3),
        },
        {"events": st.lists(event, max_size=2), "user_id": odd, "created_at": odd, "more": odd},
    )


def mostly(usual: Any, odd: Any) -> st.SearchStrategy[Any]:
    return st.integers(0, 7).flatmap(lambda drawn: odd if drawn == 0 else usual)


RESULT = objects({"object_id": st.sampled_from("abc")}, {"rank": st.floats(-1, 1), "x": ODD})
EVENT = objects(
    {"object_id": st.sampled_from("abc")}, {"event_type": TEXTS, "created_at": st.integers()}
)
ODD_RESULT = st.one_of(objects({}, {"object_id": NAMES, "rank": ODD}), ODD)
ODD_EVENT = st.one_of(objects({}, {"object_id": NAMES, "event_type": ODD, "created_at": ODD}), ODD)
USUAL = sessions(st.integers(0, 10**6).map(str), RESULT, EVENT, st.none())
UNUSUAL = st.one_of(
    sessions(NAMES, mostly(RESULT, ODD_RESULT), mostly(EVENT, ODD_EVENT), ODD),
    objects({"session_id": ODD}, {"search_query": ODD, "search_results": ODD, "events": ODD}),
    ODD,
)
LOGS = st.lists(mostly(USUAL, UNUSUAL), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def log_file(tmp_path_factory):
    return tmp_path_factory.mktemp("logs") / "log"


many = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@many
@given(LOGS)
def test_both_readers_agree_on_odd_sessions(log_file, log):
    pydantic, arrow = read_both_ways(write(log_file, *log))
    assert arrow == pydantic


SIGNS = st.sampled_from(
    [*'{}[]":,\\0-.eE+ \t\r\n\x0b\x85\xa0\x00\ud800n/', "NaN", "Inf", "null", "{}"]
)
EDITS = st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 2), SIGNS), max_size=3)


@many
@given(LOGS, EDITS, st.booleans())
def test_both_readers_agree_on_odd_writing(log_file, log, edits, ascii_only):
    text = "\n".join(json.dumps(line, ensure_ascii=ascii_only) for line in log)
    for place, removed, put in edits:
        place %= len(text) + 1
        text = text[:place] + put + text[place + removed :]
    pydantic, arrow = read_both_ways(write(log_file, text))
    assert arrow == pydantic
