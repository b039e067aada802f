import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooktune.contract.json_lines import MAX_DEPTH, deep_lines, is_too_deep
from hooktune.data.arrow_reader import read_session_blocks
from hooktune.data.items import read_items
from hooktune.data.jsonl import read_sessions
from hooktune.errors import DataError, RequestError

SESSION = {
    "session_id": "s1",
    "search_query": " warm socks ",
    "search_results": [{"object_id": 7, "rank": 0.5}, {"object_id": "b"}],
    "events": [{"event_id": "e", "object_id": "7", "event_type": "click", "created_at": 17}],
    "user_id": None,
    "created_at": 1700000000,
}


def write_lines(folder: Path, *lines: object) -> Path:
    path = folder / "log.jsonl"
    texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_a_session_is_read_with_its_results_in_order(tmp_path):
    (session,) = read_sessions(write_lines(tmp_path, SESSION))
    assert session.search_query == "warm socks"
    assert [(result.object_id, result.rank) for result in session.search_results] == [
        ("7", 0.5),
        ("b", None),
    ]
    assert [event.object_id for event in session.events] == ["7"]


def test_blank_lines_a_byte_order_mark_and_unknown_fields_are_passed_over(tmp_path):
    path = tmp_path / "log.jsonl"
    line = json.dumps({**SESSION, "device": {"kind": "phone"}})
    path.write_bytes(b"\xef\xbb\xbf" + line.encode() + b"\r\n\r\n  \n")
    assert [session.session_id for session in read_sessions(path)] == ["s1"]


def test_a_session_that_found_nothing_can_be_read(tmp_path):
    path = write_lines(tmp_path, {**SESSION, "search_results": [], "events": []})
    assert next(read_sessions(path)).search_results == ()


def without(field: str) -> dict[str, object]:
    return {name: value for name, value in SESSION.items() if name != field}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'a': 1}", "line 2: not JSON: key must be a string at column 2. Each line should be"),
        ('{"session_id": "s1"', "line 2: not JSON: EOF while parsing an object at column 19."),
        ("[1, 2]", r"line 2: each line should be one JSON object, and this is \[1, 2\]\.$"),
        (without("search_query"), r"session 's1': the field 'search_query' is missing\.$"),
        (without("session_id"), r"line 2: the field 'session_id' is missing\.$"),
        ({**SESSION, "search_query": " "}, r"session 's1': the field 'search_query' is empty\.$"),
        (
            {**SESSION, "search_results": [{"object_id": "b", "rank": "high"}]},
            r"field 'search_results\[0\].rank' should be a valid number, .* and is .high.\.$",
        ),
        (
            {**SESSION, "search_results": [{"object_id": "b", "rank": 1e39}]},
            r"'search_results\[0\].rank' should be less than or equal to 340\d+, and is 1e\+39",
        ),
        ({**SESSION, "search_results": None}, "'search_results' should be a valid"),
        (
            {**SESSION, "events": [{"object_id": "c"}]},
            "session 's1': an event on the result 'c', which was not shown. Add it to",
        ),
    ],
)
def test_a_broken_session_is_named_in_one_sentence(tmp_path, line, message):
    path = write_lines(tmp_path, {**SESSION, "session_id": "s0"}, line)
    with pytest.raises(DataError, match=message) as caught:
        list(read_sessions(path))
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_a_repeated_session_id_is_refused_with_both_lines(tmp_path):
    path = write_lines(tmp_path, SESSION, {**SESSION, "session_id": "s2"}, SESSION)
    with pytest.raises(DataError, match="line 3: the session id 's1' stands on line 1 already"):
        list(read_sessions(path))


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"session_id": "caf\xe9"}\n')
    with pytest.raises(DataError, match="line 1: not UTF-8: the byte 0xe9 at column 20"):
        list(read_sessions(path))


LINE = (
    '{"session_id": 1, "search_query": "q", "search_results": [], "object_id": 1, "text": "t", %s'
)
DEEP = [
    LINE % ('"ignored": ' + "[" * 10_000),
    LINE % ('"ignored": ' + "[" * 16_000 + "]" * 16_000 + "}"),
    LINE % ('"ignored": ' + '{"":' * 16_000 + "0" + "}" * 16_001),
]


@pytest.mark.parametrize("line", DEEP, ids=["never closed", "ignored lists", "ignored objects"])
@pytest.mark.parametrize("read", [read_sessions, read_session_blocks, read_items])
def test_a_deep_line_is_refused_before_it_is_parsed(tmp_path, read, line):
    path = write_lines(tmp_path, {**SESSION, "object_id": 0, "text": "text"}, line)
    started = time.monotonic()
    with pytest.raises(DataError, match="line 2: objects and lists stand in each other more than"):
        list(read(path))
    assert time.monotonic() - started < 5


def depth(value: object) -> int:
    within = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, within), default=0) if isinstance(value, dict | list) else 0


SIGNS = st.text(st.sampled_from('[]{}"\\,:é'), max_size=9)
NESTED = st.recursive(SIGNS, lambda inner: st.lists(inner) | st.dictionaries(SIGNS, inner))


@given(NESTED, st.booleans())
def test_the_depth_of_a_line_is_told_whatever_its_texts_hold(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    around = MAX_DEPTH - 2
    line = "[" * around + text + ', "' + "{[" * MAX_DEPTH + '"' + "]" * around
    assert is_too_deep(line.encode()) == (depth(value) > 2)


# Each depth is stated with others beside it, and so that it begins and ends anywhere in a word.
LINES = st.lists(
    st.builds(
        lambda before, depth, brackets: b"x" * before + brackets[0] * depth + brackets[1] * depth,
        st.integers(0, 150),
        st.sampled_from([0, 1, MAX_DEPTH // 2, MAX_DEPTH, MAX_DEPTH + 1, 3 * MAX_DEPTH]),
        st.sampled_from([(b"[", b"]"), (b"{", b"}"), (b'"[', b'"'), (b"[{},", b"]")]),
    )
)


@given(LINES)
def test_of_many_lines_the_deep_ones_are_found(lines):
    assert deep_lines(lines, b"\n".join(lines)) == [line for line in lines if is_too_deep(line)]


def test_a_missing_file_a_folder_and_an_empty_file_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.jsonl: there is no such file"):
        list(read_sessions(tmp_path / "nowhere.jsonl"))
    with pytest.raises(DataError, match="is a folder"):
        list(read_items(tmp_path))
    with pytest.raises(DataError, match="is empty"):
        list(read_sessions(write_lines(tmp_path, "", " ")))


def test_an_items_text_is_joined_by_a_template(tmp_path):
    path = write_lines(tmp_path, {"object_id": 1, "title": "{text}", "text": "x {y}", "price": 9.5})
    (item,) = read_items(path, "{title}. {text}, {price}!")
    assert (item.object_id, item.text) == ("1", "{text}. x {y}, 9.5!")


def test_an_item_that_is_repeated_word_for_word_comes_once(tmp_path):
    item = {"object_id": "a", "text": "one"}
    assert len(list(read_items(write_lines(tmp_path, item, {**item, "text": " one "})))) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "line 2: not JSON: expected ident at column 2"),
        ("3", "each line should be one JSON object, and this is 3"),
        ({"text": "two"}, r"line 2: the field 'object_id' is missing\.$"),
        ({"object_id": "", "text": "two"}, r"the field 'object_id' is empty\.$"),
        ({"object_id": "b", "texts": "x"}, r"template names, is missing. Did you mean 'texts'\?$"),
        ({"object_id": "b", "text": None}, r"the field 'text' should be a text, and is null\.$"),
        ({"object_id": "b", "text": ["x"]}, r"the field 'text' should be a text, and is \[.x.\]"),
        ({"object_id": "b", "text": " \t"}, "the item 'b' has a blank text"),
        ({"object_id": "a", "text": "two"}, "the item 'a' has another text than on line 1"),
    ],
)
def test_a_broken_item_is_named_in_one_sentence(tmp_path, line, message):
    path = write_lines(tmp_path, {"object_id": "a", "text": "one"}, line)
    with pytest.raises(DataError, match=message) as caught:
        list(read_items(path))
    assert str(caught.value).startswith(f"{path}, line 2: ")


def test_a_template_without_a_field_is_refused(tmp_path):
    with pytest.raises(RequestError, match="'text' names no field"):
        list(read_items(tmp_path, "text"))
