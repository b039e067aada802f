"""What events are worth: in a batch, in what is told of it, and in the metrics."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from log_writers import write_json_lines

from hooktune import DataError, EventWeight, open_batch, read_manifest, release_batch
from hooktune.cli import cli
from hooktune_metrics.ranking import ranking_quality

WEIGHTS = [EventWeight("purchase", 5), EventWeight("visit", 2, at_least=30)]
EVENTS = [("a", "click", ""), ("a", "click", ""), ("b", "click", ""), ("b", "purchase", 9.5),
          ("c", "visit", 29.9), ("d", "visit", 30)]  # fmt: skip


@pytest.fixture
def items(tmp_path):
    return write_json_lines(
        tmp_path / "items.jsonl", ({"object_id": name, "text": name} for name in "abcd")
    )


@pytest.fixture
def table(tmp_path):
    """One search that shows a, b, c and d, as a table of results and one of events."""
    results, events = tmp_path / "results.csv", tmp_path / "events.csv"
    shown = [f"s,q,{name},{place}" for place, name in enumerate("abcd", start=1)]
    results.write_text("\n".join(["search_id,query,item,position", *shown]))
    rows = [f"s,{item},{kind},{value}" for item, kind, value in EVENTS]
    events.write_text("\n".join(["search_id,item,kind,value", *rows]))
    return [results, events]


def test_a_result_is_worth_what_its_weightiest_event_is(tmp_path, items, table):
    manifest = release_batch(table, items, tmp_path / "batch", event_weights=WEIGHTS)
    sessions = open_batch(tmp_path / "batch").sessions
    assert sessions.weights.tolist() == [1, 5, 0, 2]
    assert sessions.grades.tolist() == [1, 5, 0, 2]
    assert sessions.clicks.tolist() == [2, 2, 0, 1]
    assert [event.in_words for event in manifest.events] == [
        "3 x click (counted with the weight 1)",
        "1 x purchase (counted with the weight 5)",
        "1 x visit with a value of at least 30 (counted with the weight 2)",
        "1 x visit (not counted)",
    ]
    assert manifest.columns == ("weights",)
    assert read_manifest(tmp_path / "batch") == manifest
    some = sessions.keep_results(np.array([False, True, True, True])).take(np.array([0]))
    assert some.weights.tolist() == [5, 0, 2]


def test_weights_are_part_of_a_batch_and_those_of_1_are_none(tmp_path, items, table):
    ids = [
        release_batch(table, items, tmp_path / f"batch-{place}", **options).batch_id
        for place, options in enumerate(
            [
                {},
                {"event_weights": [EventWeight("click", 1)]},
                {"event_weights": WEIGHTS},
                {"event_weights": [EventWeight("purchase", 4), WEIGHTS[1]]},
                {"click_events": ("click", "purchase")},
            ]
        )
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert open_batch(tmp_path / "batch-1").sessions.weights is None


def test_sessions_in_one_file_are_weighted_as_those_in_tables_are(tmp_path, items, table):
    session = {"session_id": "s", "search_query": "q"}
    session["search_results"] = [{"object_id": name} for name in "abcd"]
    session["events"] = [
        {"object_id": item, "event_type": kind} for item, kind, _ in EVENTS if kind != "visit"
    ]
    log = write_json_lines(tmp_path / "log.jsonl", [session])
    manifests = [
        release_batch(each, items, tmp_path / f"batch-{place}", event_weights=WEIGHTS[:1])
        for place, each in enumerate([log, table])
    ]
    assert manifests[0].batch_id == manifests[1].batch_id


def test_weights_that_do_not_agree_with_clicks_are_refused(tmp_path, items, table):
    release_batch(table, items, tmp_path / "batch", event_weights=WEIGHTS)
    file = tmp_path / "batch" / "sessions.parquet"
    file.chmod(0o644)
    table = pq.read_table(file)
    place, field = table.column_names.index("weights"), table.schema.field("weights")
    for weights in ([1, 5, 1, 2], [1, 0, 0, 2], [1, np.nan, 0, 2], [1, np.inf, 0, 2]):
        column = pa.array([weights], field.type)
        pq.write_table(table.set_column(place, field, column), file)
        with pytest.raises(DataError, match="a weight of a clicked result is none, or one of"):
            open_batch(tmp_path / "batch")


def test_what_is_worth_more_gains_more(tmp_path, items, table):
    release_batch(table, items, tmp_path / "batch", event_weights=WEIGHTS)
    sessions = open_batch(tmp_path / "batch").sessions
    discount = 1 / np.log2([2, 3, 4, 5])
    best = 5 * discount[0] + 2 * discount[1] + discount[2]
    for scores, gained in (
        ([1, 3, 0, 2], best),
        ([3, 2, 1, 0], discount[0] + 5 * discount[1] + 2 * discount[3]),
    ):
        ndcg = ranking_quality(sessions, np.array(scores, dtype=float))["ndcg_at_10"]
        assert ndcg.tolist() == pytest.approx([gained / best])


def test_the_command_takes_weights_and_says_them(tmp_path, items, table):
    run = ["batch", "release", *map(str, table), "--items", str(items)]
    run += ["--to", str(tmp_path / "batch"), "--event-weight", "purchase=5"]
    done = CliRunner().invoke(cli, [*run, "--event-weight", "visit=2@30"])
    assert done.exit_code == 0, done.output
    assert "1 x purchase (counted with the weight 5)" in done.stderr
    shown = CliRunner().invoke(cli, ["batch", "show", str(tmp_path / "batch"), "--json"]).stdout
    assert json.loads(shown)["columns"] == ["weights"]
    wrong = CliRunner().invoke(cli, [*run, "--event-weight", "purchase=much"])
    assert wrong.exit_code == 2
    assert "no weight of an event" in wrong.output
