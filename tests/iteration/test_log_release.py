import json
import random

import pytest
from click.testing import CliRunner
from log_writers import result_rows, write_json_lines

from hooktune import DataError, RequestError, open_batch, release_batch
from hooktune.cli import cli
from hooktune.testing import made_up_log


@pytest.fixture
def items(tmp_path):
    return write_json_lines(tmp_path / "items.jsonl", made_up_log()[1])


def test_a_log_in_several_files_is_one_log(tmp_path, items):
    sessions, _ = made_up_log()
    whole = write_json_lines(tmp_path / "whole.jsonl", sessions)
    parts = [
        write_json_lines(tmp_path / f"part-{place}.jsonl", sessions[place::2]) for place in (0, 1)
    ]
    ids = {
        release_batch(log, items, tmp_path / f"batch-{place}").batch_id
        for place, log in enumerate([whole, parts, tmp_path / "part-*.jsonl"])
    }
    assert len(ids) == 1
    with pytest.raises(DataError, match=r"session id '.*' comes twice in the log"):
        release_batch([whole, parts[0]], items, tmp_path / "twice")
    with pytest.raises(RequestError, match="No file fits the pattern"):
        release_batch(tmp_path / "none-*.jsonl", items, tmp_path / "none")


def test_wrong_lines_of_a_log_of_sessions_are_set_aside_where_that_is_tolerated(tmp_path, items):
    sessions, _ = made_up_log()
    log = tmp_path / "log.jsonl"
    write_json_lines(log, [*sessions[:5], {"session_id": "x"}, *sessions[5:]])
    with pytest.raises(DataError, match="line 6: session 'x': the field 'search_query' is missing"):
        release_batch(log, items, tmp_path / "batch")
    with pytest.raises(DataError, match=r"1 of 41 lines cannot be used, and 1\.0000% are"):
        release_batch(log, items, tmp_path / "batch", tolerate=0.01)
    manifest = release_batch(log, items, tmp_path / "batch", tolerate=0.05)
    assert manifest.counts.sessions == len(sessions)
    assert [(each.what, each.count) for each in manifest.found] == [
        ("lines that cannot be used, set aside", 1)
    ]


def test_the_order_of_rows_has_no_part_in_a_batch(tmp_path, items):
    rows = result_rows(made_up_log()[0])
    ids = set()
    for seed in range(3):
        shuffled = random.Random(seed).sample(rows, len(rows))
        log = tmp_path / f"log-{seed}.csv"
        lines = [",".join(map(str, row.values())) for row in shuffled]
        log.write_text("\n".join([",".join(rows[0]), *lines]), encoding="utf-8")
        ids.add(release_batch(log, items, tmp_path / f"batch-{seed}").batch_id)
    assert len(ids) == 1


def test_sessions_with_few_results_are_set_aside(tmp_path, items):
    sessions, _ = made_up_log()
    del sessions[0]["search_results"][3:]
    shown = {result["object_id"] for result in sessions[0]["search_results"]}
    sessions[0]["events"] = [e for e in sessions[0]["events"] if e["object_id"] in shown]
    log = write_json_lines(tmp_path / "log.jsonl", sessions)
    manifest = release_batch(log, items, tmp_path / "batch", min_results=4)
    assert manifest.set_aside["session with less than 4 results"] == 1
    assert open_batch(tmp_path / "batch").sessions.lengths.min() >= 4


def test_the_command_tells_what_was_found_and_show_gives_examples(tmp_path, items):
    log = tmp_path / "log.csv"
    log.write_text("search_id,query,item,position,clicks\ns,q,nothing,1,1\nt,q,nothing,0,0\n")
    item = json.dumps({"object_id": "nothing", "text": "thing"})
    items.write_text(f"{item}\n")
    options = ["--items", str(items), "--to", str(tmp_path / "batch"), "--tolerate", "0.1%"]
    done = CliRunner().invoke(cli, ["batch", "release", str(log), *options])
    assert done.exit_code == 0, done.output
    assert "found: 2 searches; " in done.output
    shown = CliRunner().invoke(cli, ["batch", "show", str(tmp_path / "batch")]).output
    assert "1 applications whose positions begin at 0" in shown
    assert f"{log}, line 3: the position 0" in shown
    found = CliRunner().invoke(cli, ["batch", "show", str(tmp_path / "batch"), "--json"]).output
    assert {"what": "clicks", "count": 1, "examples": []} in json.loads(found)["found"]


@pytest.mark.parametrize("options", [["--column", "query"], ["--tolerate", "much"], []])
def test_options_that_are_wrong_or_missing_are_refused(tmp_path, options):
    log = write_json_lines(tmp_path / "log.jsonl", [{}])
    done = CliRunner().invoke(cli, ["batch", "release", str(log), *options])
    assert done.exit_code == 2
