"""Which events count as clicks, and what is told of the others."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hooktune.cli import cli
from hooktune.data.arrow_reader import read_session_blocks
from hooktune.data.jsonl import read_sessions
from hooktune.data.manifest import EventCount, read_manifest
from hooktune.data.release import open_batch
from hooktune.errors import RequestError
from hooktune.iteration.log_release import release_batch

Events = list[dict[str, Any]]


def events(*kinds: object, on: str = "a") -> Events:
    return [{"object_id": on, "event_type": kind} for kind in kinds]


def write_log(folder: Path, *of_sessions: Events) -> tuple[Path, Path]:
    """Write a log of sessions that show the items a, b and c, and have these events."""
    results = [{"object_id": name} for name in "abc"]
    sessions = [
        {"session_id": f"s{place}", "search_query": "q", "search_results": results, "events": some}
        for place, some in enumerate(of_sessions)
    ]
    items = [{"object_id": name, "text": name} for name in "abc"]
    for name, rows in (("log", sessions), ("items", items)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "log", folder / "items"


def counted(*counts: tuple[str, int, bool]) -> tuple[EventCount, ...]:
    return tuple(EventCount(kind=kind, count=n, is_click=click) for kind, n, click in counts)


def test_only_clicks_count_and_all_other_kinds_are_told(tmp_path):
    impressions = [event for name in "abc" for event in events("impression", on=name)]
    log = write_log(tmp_path, impressions + events("click", on="b"), impressions)
    manifest = release_batch(*log, tmp_path / "batch")
    assert manifest.events == counted(("click", 1, True), ("impression", 6, False))
    assert manifest.counts.clicks == 1
    assert manifest.warning is None
    assert open_batch(tmp_path / "batch").sessions.clicks.tolist() == [0, 1, 0, 0, 0, 0]
    assert read_manifest(tmp_path / "batch") == manifest


def test_the_kinds_that_count_can_be_named(tmp_path):
    log = write_log(tmp_path, events("click", "purchase", "purchase", "cart"), [])
    manifest = release_batch(*log, tmp_path / "batch", click_events=["purchase", "cart"])
    assert manifest.events == counted(("purchase", 2, True), ("cart", 1, True), ("click", 1, False))
    assert manifest.counts.clicks == 3
    one = release_batch(*log, tmp_path / "one", click_events="purchase")
    assert one.counts.clicks == 2
    with pytest.raises(RequestError, match="No kind of event counts as a click"):
        release_batch(*log, tmp_path / "none", click_events=())


def test_an_event_without_a_kind_is_a_click(tmp_path):
    log = write_log(tmp_path, [{"object_id": "a"}, *events(None)], [])
    assert release_batch(*log, tmp_path / "batch").counts.clicks == 2


@pytest.mark.parametrize("kind", [{"name": "click"}, ["click"], True, 1.5])
def test_a_kind_that_is_no_name_is_told_and_no_click(tmp_path, kind):
    log = write_log(tmp_path, events(kind, "click"), [])
    manifest = release_batch(*log, tmp_path / "batch")
    assert manifest.events == counted(("click", 1, True), ("", 1, False))
    assert manifest.events[1].in_words == "1 x without a name (not counted)"


def test_a_whole_number_names_a_kind(tmp_path):
    log = write_log(tmp_path, events(7, 7, 8), [])
    manifest = release_batch(*log, tmp_path / "batch", click_events=["7"])
    assert manifest.events == counted(("7", 2, True), ("8", 1, False))


def test_of_many_kinds_the_most_frequent_are_told_and_cut(tmp_path):
    kinds = [f"{place:02} {'x' * 600}" for place in range(60)]
    told = release_batch(*write_log(tmp_path, events(*kinds), []), tmp_path / "batch").events
    assert len(told) == 51
    assert max(len(event.kind) for event in told) == 100
    assert told[-1] == EventCount(kind="(10 other kinds)", count=10, is_click=False)


@pytest.mark.parametrize(
    ("of_sessions", "warning"),
    [
        (
            [events("click"), [e for name in "abc" for e in events("click", on=name)]],
            r"More than half of all shown results are clicked \(4 of 6\)",
        ),
        ([events("view"), []], "No event of the log is a click .* its kinds are 'view'"),
    ],
)
def test_doubtful_clicks_are_warned_of(tmp_path, caplog, of_sessions, warning):
    log = write_log(tmp_path, *of_sessions)
    with caplog.at_level(logging.WARNING, "hooktune"):
        manifest = release_batch(*log, tmp_path / "batch")
    assert manifest.warning in caplog.text
    assert re.search(warning, manifest.warning)


def test_many_clicks_on_half_of_the_results_are_no_reason_to_warn(tmp_path):
    log = write_log(tmp_path, events(*["click"] * 9), [])
    assert release_batch(*log, tmp_path / "batch").warning is None


def test_the_command_line_tells_kinds_and_warns(tmp_path):
    log, items = write_log(tmp_path, events("click") + events("view", on="c"), events("view"))
    batch = str(tmp_path / "batch")
    run = ["batch", "release", str(log), "--items", str(items), "--to", batch]
    released = CliRunner().invoke(cli, [*run, "--click-event", "click", "--click-event", "view"])
    assert "events: 2 x view (counted as clicks), 1 x click (counted as clicks)" in released.stderr
    shown = CliRunner().invoke(cli, ["batch", "show", batch]).stdout
    assert "  2 x view (counted as clicks)\n  1 x click (counted as clicks)\n" in shown
    assert "!" not in shown
    as_json = json.loads(CliRunner().invoke(cli, ["batch", "show", batch, "--json"]).stdout)
    assert as_json["events"][0].items() >= {"kind": "view", "count": 2, "is_click": True}.items()
    assert as_json["warning"] is None


def test_a_batch_of_the_version_before_is_shown_and_warned_of(tmp_path):
    log = write_log(tmp_path, [e for name in "abc" for e in events("click", on=name)])
    release_batch(*log, tmp_path / "batch")
    file = tmp_path / "batch" / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["events"], manifest["clicked_results"]
    file.chmod(0o644)
    file.write_text(json.dumps(manifest))
    shown = CliRunner().invoke(cli, ["batch", "show", str(tmp_path / "batch")])
    assert shown.exit_code == 0
    assert "events        not counted by kind" in shown.stdout
    assert "! More than half of all shown results are clicked (3 clicks on 3 results)." in (
        shown.stdout
    )


def test_a_log_of_clicks_keeps_the_id_that_the_version_before_gave_it(tmp_path):
    sessions = []
    for n in range(30):
        shown = list(dict.fromkeys(f"item-{(n * 7 + k * k) % 23}" for k in range(6)))
        kinds: Events = [{}, {"event_type": "click"}]
        clicks = [
            {"object_id": shown[k % len(shown)], "created_at": 1700000000 + n, **kinds[k % 2]}
            for k in range(n % 4)
        ]
        sessions.append(
            {
                "session_id": f"s{n}",
                "search_query": f"query {n % 7}",
                "user_id": f"u{n % 3}",
                "search_results": [
                    {"object_id": name, "rank": 1 - k / 10} for k, name in enumerate(shown)
                ],
                "events": clicks,
            }
        )
    items = [{"object_id": f"item-{n}", "text": f"text number {n}"} for n in range(23)]
    for name, rows in (("log", sessions), ("items", items)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = release_batch(tmp_path / "log", tmp_path / "items", tmp_path / "batch")
    assert manifest.batch_id == "b9a1697699a82eb11ce02a5a"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda values: (
        st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3)
    ),
    max_leaves=5,
)
UNREAD = st.fixed_dictionaries({}, optional={"created_at": JSON, "user_id": JSON})
KIND = st.fixed_dictionaries({"object_id": st.sampled_from("ab")}, optional={"event_type": JSON})
EVENT = st.tuples(UNREAD, KIND).map(lambda parts: parts[0] | parts[1])


@pytest.fixture(scope="module")
def log_file(tmp_path_factory):
    return tmp_path_factory.mktemp("logs") / "log"


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(UNREAD, st.lists(EVENT, max_size=3)), min_size=1, max_size=3))
def test_no_value_of_a_time_a_user_or_a_kind_refuses_a_log(log_file, drawn):
    results = [{"object_id": "a"}, {"object_id": "b"}]
    lines = [
        json.dumps(
            unread
            | {"session_id": f"s{place}", "search_query": "q", "search_results": results}
            | {"events": some}
        )
        for place, (unread, some) in enumerate(drawn)
    ]
    log_file.write_text("\n".join(lines), encoding="utf-8")
    pydantic = [event.event_type for s in read_sessions(log_file) for event in s.events]
    arrow = [
        block.kinds[place].as_py()
        for block in read_session_blocks(log_file)
        for place in block.event_kind.tolist()
    ]
    assert arrow == pydantic
