"""Batches made of batches."""

import json

import numpy as np
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner
from log_writers import write_json_lines

from hooktune import (
    DataError,
    EventWeight,
    RequestError,
    merge_batches,
    open_batch,
    release_batch,
    sample_batch,
)
from hooktune.cli import cli
from hooktune.testing import made_up_log


@pytest.fixture
def items(tmp_path):
    return write_json_lines(tmp_path / "items.jsonl", made_up_log()[1])


@pytest.fixture
def release(tmp_path, items):
    """Releases sessions under a name; returns the folder."""

    def make(name, sessions, items=items, **options):
        log = write_json_lines(tmp_path / f"{name}.jsonl", sessions)
        release_batch(log, items, tmp_path / name, **options)
        return tmp_path / name

    return make


def test_merged_parts_of_a_log_are_the_whole_log(tmp_path, release):
    sessions, _ = made_up_log()
    whole = release("whole", sessions)
    parts = [release(f"part-{place}", sessions[place::3]) for place in range(3)]
    merged = merge_batches(parts, tmp_path / "merged")
    assert merged.batch_id == open_batch(whole).batch_id
    assert open_batch(tmp_path / "merged").batch_id == merged.batch_id
    assert merged.log_file == "part-0.jsonl, part-1.jsonl, part-2.jsonl"
    assert merged.log_format == "embedding-studio"
    assert merge_batches(parts[::-1], tmp_path / "merged").batch_id == merged.batch_id


def test_a_session_in_several_batches_comes_once(tmp_path, release):
    sessions, _ = made_up_log()
    parts = [release("first", sessions[:30]), release("second", sessions[20:])]
    merged = merge_batches(parts, tmp_path / "merged")
    assert merged.counts.sessions == len(sessions)
    assert merged.set_aside == {"session that an earlier batch has too": 10}
    assert merged.batch_id == open_batch(release("whole", sessions)).batch_id
    other = [dict(sessions[0], search_query="another one")]
    with pytest.raises(DataError, match=rf"{sessions[0]['session_id']}' of .*third is another one"):
        merge_batches([parts[0], release("third", other)], tmp_path / "wrong")


def test_items_that_changed_are_refused(tmp_path, release):
    sessions, items = made_up_log()
    changed = write_json_lines(
        tmp_path / "changed.jsonl", (item | {"text": f"new {item['text']}"} for item in items)
    )
    parts = [release("first", sessions[:20]), release("second", sessions[20:], items=changed)]
    with pytest.raises(DataError, match=r"The item '.*' has another text in .*second than in"):
        merge_batches(parts, tmp_path / "merged")


def test_weights_are_merged_and_clicks_without_one_are_worth_1(tmp_path, release):
    sessions, _ = made_up_log()
    plain = release("plain", sessions[:20])
    weighted = release("weighted", sessions[20:], event_weights=[EventWeight("click", 3)])
    merge_batches([plain, weighted], tmp_path / "merged")
    merged = open_batch(tmp_path / "merged").sessions
    assert set(merged.grades.tolist()) == {0, 1, 3}
    whole = release("whole", sessions, event_weights=[EventWeight("click", 3)])
    again = open_batch(whole).sessions
    assert np.array_equal(merged.clicks, again.clicks)


@pytest.mark.parametrize("count", [0, 1])
def test_less_than_two_batches_are_not_merged(tmp_path, release, count):
    folders = [release("first", made_up_log()[0])][:count]
    with pytest.raises(RequestError, match="Name two batches or more"):
        merge_batches(folders, tmp_path / "merged")


def test_texts_of_different_templates_are_not_merged(tmp_path, release):
    sessions, _ = made_up_log()
    parts = [release("first", sessions), release("second", sessions, text="<{text}>")]
    with pytest.raises(RequestError, match=r"different templates: '\{text\}', '<\{text\}>'"):
        merge_batches(parts, tmp_path / "merged")


def test_a_sample_holds_all_sessions_of_some_queries(tmp_path, release):
    folder = release("whole", made_up_log()[0])
    whole = open_batch(folder).sessions
    manifest = sample_batch(folder, tmp_path / "sample", 3, seed=1)
    sample = open_batch(tmp_path / "sample").sessions
    assert manifest.counts.queries == 3
    kept = pc.is_in(whole.queries, value_set=sample.queries).to_numpy(zero_copy_only=False)
    assert len(sample) == kept[whole.query_index].sum()
    left_out = len(whole) - len(sample)
    assert manifest.set_aside["session of a query that was not drawn"] == left_out
    again = sample_batch(folder, tmp_path / "again", 3, seed=1)
    assert again.batch_id == manifest.batch_id
    others = {
        sample_batch(folder, tmp_path / f"other-{seed}", 3, seed).batch_id for seed in range(2, 6)
    }
    assert len(others) > 1
    everything = sample_batch(folder, tmp_path / "all", len(whole.queries))
    assert everything.batch_id == open_batch(folder).batch_id
    for wrong in (0, len(whole.queries) + 1):
        with pytest.raises(RequestError, match="cannot be drawn"):
            sample_batch(folder, tmp_path / "wrong", wrong)


def test_what_is_asked_often_is_drawn_often(tmp_path, release):
    shown = [{"object_id": item["object_id"]} for item in made_up_log()[1][:2]]
    queries = ["often"] * 90 + [f"rare {n}" for n in range(10)]
    folder = release(
        "log",
        [
            {"session_id": f"s{n:03}", "search_query": query, "search_results": shown}
            for n, query in enumerate(queries)
        ],
    )
    drawn = [sample_batch(folder, tmp_path / f"{seed}", 1, seed).counts for seed in range(10)]
    assert sum(counts.sessions == 90 for counts in drawn) >= 7


def test_the_commands_print_the_new_id(tmp_path, release):
    sessions, _ = made_up_log()
    parts = [str(release(f"part-{place}", sessions[place::2])) for place in range(2)]
    merged = CliRunner().invoke(cli, ["batch", "merge", *parts, "--to", str(tmp_path / "merged")])
    assert merged.stdout.strip() == open_batch(tmp_path / "merged").batch_id
    run = ["batch", "sample", parts[0], "--queries", "2", "--to", str(tmp_path / "sample")]
    sampled = CliRunner().invoke(cli, [*run, "--seed", "3"])
    assert sampled.stdout.strip() == open_batch(tmp_path / "sample").batch_id
    found = CliRunner().invoke(cli, ["batch", "diff", *parts, "--json"])
    assert json.loads(found.stdout)["sessions"] == [20, 20]
