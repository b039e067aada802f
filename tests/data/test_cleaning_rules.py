"""Rules that are asked for: what is set aside by them, what is joined, and what is told."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from log_writers import write_json_lines

from hooktune import CleaningRules, DataError, RequestError, open_batch, release_batch
from hooktune.cli import cli

HEAD = "search_id,query,item,position,clicks,user,time,sort,filters"
ASKED = [
    ("s1", "Shoes", "ann", "2024-01-01T00:00:00Z", "", ""),
    ("s2", "shoes ", "ann", "2024-01-01T02:00:05+02:00", "", ""),
    ("s3", "shoes", "ann", "2024-01-01 00:01:00", "", ""),
    ("s4", "shoes", "ben", "1704067200", "price", ""),
    ("s5", "shoes", "ben", "1704067201000", "relevance", "[]"),
    ("s6", "shoes", "cleo", "2024-01-01T00:00:02Z", "", "red"),
    *((f"b{n}", f"query {n}", "bot", f"2024-01-01T00:0{n}:00Z", "", "") for n in range(5)),
]
"""Searches that show a, b and c, with a click on b."""


@pytest.fixture
def items(tmp_path):
    return write_json_lines(
        tmp_path / "items.jsonl", ({"object_id": name, "text": name} for name in "abc")
    )


def write_log(path: Path, searches=ASKED) -> Path:
    rows = [
        f"{name},{query},{item},{place},{int(item == 'b')},{','.join(rest)}"
        for name, query, *rest in searches
        for place, item in enumerate("abc", start=1)
    ]
    path.write_text("\n".join([HEAD, *rows]))
    return path


@pytest.fixture
def log(tmp_path):
    return write_log(tmp_path / "log.csv")


def released(log, items, cleaning):
    folder = log.with_suffix("")
    manifest = release_batch(log, items, folder, cleaning=cleaning)
    told = {finding.what: (finding.count, finding.examples) for finding in manifest.found}
    return open_batch(folder).sessions, manifest, told


def test_what_the_rules_would_catch_is_told_where_none_is_asked_for(log, items):
    sessions, manifest, told = released(log, items, None)
    assert len(sessions) == len(ASKED)
    assert manifest.set_aside == {}
    assert told["searches that repeat the one before of their user within 10 seconds"] == (
        1, ("the search s2, as s1",)
    )  # fmt: skip
    assert told["searches whose results were sorted"][1] == (f"{log}, line 11: the search s4",)
    assert told["searches whose results were filtered"][1] == (f"{log}, line 17: the search s6",)
    assert not any("in an hour" in what for what in told)


def test_times_of_all_forms_are_one_time_and_their_forms_are_told(log, items):
    told = released(log, items, None)[2]
    assert {what: count for what, (count, _) in told.items() if what.startswith("times")} == {
        "times as text": 24,
        "times without a zone, taken as UTC": 3,
        "times as a number since 1970": 6,
    }


def test_users_who_search_or_click_more_than_a_person_can_are_set_aside(log, items):
    for number, rules in enumerate(
        [CleaningRules(max_searches_per_hour=4), CleaningRules(max_clicks_per_hour=4)]
    ):
        what = ("searches", "clicks")[number]
        own = write_log(log.with_name(f"log-{number}.csv"))
        sessions, manifest, told = released(own, items, rules)
        assert sessions.session_ids.to_pylist() == ["s1", "s2", "s3", "s4", "s5", "s6"]
        assert manifest.set_aside == {
            "session of a user with too many searches or clicks in an hour": 5
        }
        said = f"users with more than 4 {what} in an hour, set aside with all of their searches"
        assert told[said] == (1, ("the user bot: 5 searches, 5 clicks in an hour",))
        assert [event.count for event in manifest.events] == [11]


def test_a_log_without_times_is_one_hour(tmp_path, items):
    searches = [(name, query, user, "", "", "") for name, query, user, *_ in ASKED]
    log = write_log(tmp_path / "log.csv", searches)
    assert len(released(log, items, CleaningRules(max_searches_per_hour=4))[0]) == 6


@pytest.mark.parametrize(("apart", "left"), [(60, 1), (3600, 6)])
def test_clicks_without_times_of_their_own_are_of_their_searchs_hour(
    tmp_path, items, apart: int, left: int
):
    lines = [
        {
            "session_id": f"s{n}", "search_query": "shoes", "user_id": 7 if n < 5 else 8,
            "created_at": 1704067200 + n * apart,
            "search_results": [{"object_id": name} for name in "abc"],
            "events": [{"object_id": "b"}],
        }
        for n in range(6)
    ]  # fmt: skip
    log = write_json_lines(tmp_path / "log.jsonl", lines)
    sessions, _, _ = released(log, items, CleaningRules(max_clicks_per_hour=4))
    assert len(sessions) == left


def test_searches_repeated_in_a_moment_are_joined(log, items):
    sessions, manifest, told = released(log, items, CleaningRules(join_within=10))
    ids = sessions.session_ids.to_pylist()
    assert [name for name in ids if name.startswith("s")] == ["s1", "s3", "s4", "s5", "s6"]
    first = ids.index("s1")
    assert sessions.lengths[first] == 3
    assert sessions.clicks[sessions.session_index == first].tolist() == [0, 2, 0]
    said = "searches that repeat the one before of their user within 10 seconds, joined to it"
    assert told[said][0] == 1
    assert not any("stated again" in what for what in told)
    assert manifest.counts.clicks == len(ASKED)


def test_a_chain_of_repeats_is_one_search_however_the_log_is_ordered(tmp_path, items):
    times = [("s9", "05"), ("s8", "13"), ("s7", "21"), ("s6", "40")]
    searches = [(name, "q", "ann", f"2024-01-01T00:00:{second}Z", "", "") for name, second in times]
    found = [
        released(write_log(tmp_path / f"{place}.csv", order), items, CleaningRules(join_within=10))
        for place, order in enumerate([searches, searches[::-1]])
    ]
    assert [sessions.session_ids.to_pylist() for sessions, *_ in found] == [["s6", "s9"]] * 2
    assert found[0][1].batch_id == found[1][1].batch_id


def test_sorted_and_filtered_searches_are_set_aside_each_for_itself(log, items):
    for number, (rules, gone) in enumerate(
        [
            (CleaningRules(set_aside_sorted=True), "s4"),
            (CleaningRules(set_aside_filtered=True), "s6"),
        ]
    ):
        sessions, manifest, told = released(
            write_log(log.with_name(f"log-{number}.csv")), items, rules
        )
        assert gone not in sessions.session_ids.to_pylist()
        assert len(sessions) == len(ASKED) - 1
        how = ("sorted", "filtered")[number]
        assert manifest.set_aside == {f"session whose results were {how}": 1}
        assert told[f"searches whose results were {how}, set aside"][0] == 1


def test_rules_about_what_a_log_does_not_state_are_refused(tmp_path, items):
    session = {"session_id": "s", "search_query": "q", "search_results": [{"object_id": "a"}]}
    log = write_json_lines(tmp_path / "log.jsonl", [session])
    with pytest.raises(DataError, match="states no users"):
        release_batch(log, items, tmp_path / "batch", cleaning=CleaningRules(max_clicks_per_hour=9))
    timeless = write_log(tmp_path / "log.csv", [("s", "q", "ann", "", "", "")])
    with pytest.raises(DataError, match="states no times"):
        release_batch(timeless, items, tmp_path / "batch", cleaning=CleaningRules(join_within=9))
    for wrong in ({"max_clicks_per_hour": 0}, {"join_within": 0}, {"join_within": 1e9}):
        with pytest.raises(RequestError):
            CleaningRules(**wrong)


def test_the_command_takes_the_rules(log, items):
    folder = str(log.with_suffix(""))
    run = ["batch", "release", str(log), "--items", str(items), "--to", folder]
    run += ["--max-searches-per-hour", "4", "--join-within", "10", "--set-aside", "sorted"]
    done = CliRunner().invoke(cli, [*run, "--set-aside", "filtered"])
    assert done.exit_code == 0, done.output
    as_json = CliRunner().invoke(cli, ["batch", "show", folder, "--json"]).stdout
    assert json.loads(as_json)["counts"]["sessions"] == 3
