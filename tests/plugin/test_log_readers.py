import logging

import pytest
from log_writers import write_json_lines
from plugin_zoo import opened_zoo

from hooktune.contract.log_source import LogSource
from hooktune.contract.long_form import LogPart
from hooktune.errors import DataError, PluginError, PluginRequestError, RequestError
from hooktune.plugin.checks import Plugin
from hooktune.plugin.log_readers import LogReader, choose_reader

UBI = {"query_id": "q", "user_query": "shoes"}
SESSION = {"session_id": "s", "search_query": "q", "search_results": [{"object_id": "1"}]}


@pytest.fixture
def source(tmp_path):
    def made(*documents, name="log.jsonl"):
        return LogSource((str(write_json_lines(tmp_path / name, documents)),))

    return made


def reader_of(**hooks):
    from hooktune import hookimpl

    plugin = type("Odd", (), {name: staticmethod(hookimpl(each)) for name, each in hooks.items()})
    return LogReader(Plugin("odd", "log reader", plugin(), "odd-logs", "1.0"))


@pytest.mark.parametrize(
    ("document", "name", "reader_name", "why"),
    [
        (UBI, "log.jsonl", "ubi", "its first documents have a 'query_id' and 'user_query'"),
        ({"_source": UBI}, "log.json", "ubi", "its first documents have"),
        (SESSION, "log.jsonl", "embedding-studio", "its first line has a 'session_id'"),
        ({"a": 1}, "log.csv", "table", "its name ends with .csv"),
        ({"a": 1}, "log.jsonl", "embedding-studio", "no reader recognises it"),
    ],
)
def test_a_log_is_recognised_and_by_what_is_told(document, name, reader_name, why, source):
    reader = choose_reader(source(document, name=name), None)
    assert reader.plugin.name == reader_name
    assert why in reader.why


def test_a_format_may_be_named_and_a_wrong_name_is_refused(source):
    assert choose_reader(source(SESSION), "ubi").plugin.name == "ubi"
    with pytest.raises(RequestError, match=r"no log reader 'ubu'\. Did you mean 'ubi'"):
        choose_reader(source(SESSION), "ubu")
    with pytest.raises(PluginRequestError, match=r"'ubi' .* cannot be used: --block blocks it"):
        choose_reader(source(SESSION), "ubi", ["ubi"])


def test_two_readers_of_one_log_are_told_and_a_broken_one_is_left_out(source, tmp_path, caplog):
    body = (
        "from hooktune import hookimpl\n"
        "@hookimpl\ndef read_log(source):\n    return []\n"
        "@hookimpl\ndef recognise_log(source):\n    {}\n"
    )
    with opened_zoo(tmp_path / "site") as zoo:
        zoo.install("mine", body.format("return 'it is mine'"), log="mine")
        zoo.install("broken", body.format("raise ValueError('no')"), log="broken")
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(RequestError, match="'mine' because it is mine, and 'ubi' because"),
        ):
            choose_reader(source(UBI), None)
        assert "left out. The log reader 'broken' (broken 1.0) failed" in caplog.text
        assert choose_reader(source(SESSION), "mine").plugin.name == "mine"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda source: None, "returned None, not parts of a log"),
        (lambda source: [5], "gave something of the type int, not a LogPart"),
        (lambda source: (1 / 0 for _ in "a"), "failed in read_log: ZeroDivisionError"),
    ],
)
def test_a_reader_that_breaks_the_contract_is_named(result, message, source):
    with pytest.raises(PluginError, match=r"The log reader 'odd' \(odd-logs 1.0\)") as raised:
        list(reader_of(read_log=result).read(source(UBI)))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        ({"search": ["a"]}, "has no column 'search'"),
        ({"search_id": ["a"], "position": ["first"]}, "'position' of a log's long form is to hold"),
        ({"search_id": ["a"], "line": [2**70]}, "'line' of a log's long form is to hold"),
    ],
)
def test_a_part_holds_only_the_columns_of_the_long_form(shown, message):
    with pytest.raises(DataError, match=message):
        LogPart.of("log", shown)
