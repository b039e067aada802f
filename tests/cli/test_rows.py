"""What people read of the store: tables and JSON."""

import json
import math
from dataclasses import replace

import pytest
from made_records import SHIFT, a_run, an_iteration

from hooktune.cli import rows
from hooktune.contract.interval import Interval
from hooktune.contract.metric import RANKING_METRIC

NASTY = "[red]query[/red] \x1b[2J\x07 :smile:"


def printed(table) -> str:
    return table.render()


def test_runs_stand_below_the_starting_model_the_best_first():
    runs = [
        a_run("aa", 0.1),
        a_run("bb", 0.25, warning="ranks worse"),
        a_run("cc"),
        a_run("dd", math.nan),
    ]
    lines = printed(rows.runs_table(an_iteration("bb"), runs)).splitlines()[2:]
    order = [line.split()[-1] for line in lines if line.strip() and "──" not in line]
    assert order == ["start", "bb", "aa", "cc", "dd"]
    best = next(line for line in lines if line.endswith("bb") or " bb" in line)
    assert best.lstrip().startswith("best !")
    assert "0.2500" in best


def test_remarks_tell_warnings_failures_and_that_nothing_was_improved():
    runs = [
        a_run("aa", warning="ranks worse than before"),
        a_run("bb", warning="ranks worse than before"),
        a_run("cc", status="FAILED", failure="ValueError: no"),
    ]
    said = rows.remarks(an_iteration("bb", improved=False), runs)
    assert said[0] == "! The run defaults (aa), ranks worse than before."
    assert said[1].startswith("! The best run, defaults (bb), ")
    assert said[2] == "The run defaults (cc) is FAILED: ValueError: no."
    assert "starts from it again" in said[3]


def test_the_error_of_what_was_measured_on_a_sample_is_told():
    name = "test_collection_mrr_at_100"
    starting = {name: 0.25, f"{name}_standard_error": 0.0125}
    (said,) = rows.remarks(replace(an_iteration(), starting_metrics=starting), [])
    assert said.endswith(f"The start has {name}_standard_error 0.0125.")


def test_markup_and_control_characters_are_shown_as_they_are():
    run = a_run("aa", 0.1, name=NASTY, method=NASTY, failure=NASTY)
    for text in (
        printed(rows.runs_table(an_iteration(), [run])),
        printed(rows.best_table([rows.BestModel(run, an_iteration())])),
        "\n".join(rows.remarks(an_iteration(), [run])),
    ):
        joined = "".join(text.split())
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "[red]query[/red]\\x1b[2J\\x07:smile:" in joined


def test_a_run_as_json_names_its_model_only_where_that_is_kept():
    kept, gone = (
        rows.run_json(a_run("aa", 0.1), an_iteration(), has_model) for has_model in (True, False)
    )
    assert kept["metrics"] == {SHIFT: 0.1}
    assert (kept["model_uri"], gone["model_uri"]) == ("runs:/aa/model", None)


def run_with_intervals(run_id: str, shift: float, **of_ranking):
    intervals = {
        SHIFT: Interval(shift, shift - 0.1, shift + 0.1, 0.2, 45, 120),
        RANKING_METRIC: Interval(0.02, 0.01, 0.03, 0.004, 45, None),
    }
    text = json.dumps({name: found.as_json() for name, found in intervals.items()})
    metrics = {SHIFT: shift, RANKING_METRIC: 0.52}
    return a_run(run_id, metrics=metrics, tags={"hooktune.intervals": text, **of_ranking})


def test_what_is_known_of_chance_stands_beside_the_main_metric_and_the_ranking():
    run = run_with_intervals("aa", 0.05)
    iteration = an_iteration("aa", True)
    table = printed(rows.runs_table(iteration, [run, a_run("bb", 0.01)]))
    assert "change, 95 %" in table
    assert "+0.0500 [-0.0500, +0.1500]" in table
    assert "+0.0200 [+0.0100, +0.0300]" in table
    assert "+0.0500 [-0.0500, +0.1500]" in printed(
        rows.best_table([rows.BestModel(run, iteration)])
    )
    said = rows.remarks(iteration, [run])
    assert said[0].endswith("on 45 queries; about 120 more are needed.")
    assert said[1].startswith(f"By {RANKING_METRIC} it is better than the starting model")

    results = rows.run_json(run, iteration, False)["results"]
    assert results[SHIFT] == {
        "value": 0.05, "starting": 0.0, "difference": 0.05, "low": pytest.approx(-0.05),
        "high": pytest.approx(0.15), "p": 0.2, "queries": 45, "more_queries": 120,
    }  # fmt: skip
    old = rows.run_json(a_run("bb", 0.01), iteration, False)["results"][SHIFT]
    assert (old["value"], old["starting"], old["low"], old["p"]) == (0.01, 0.0, None, None)


def test_a_run_that_a_guard_holds_back_is_marked():
    run = run_with_intervals("aa", 0.05, **{"hooktune.held_back": "worse by something"})
    line = next(
        line
        for line in printed(rows.runs_table(an_iteration(), [run])).splitlines()
        if line.endswith("aa")
    )
    assert line.startswith("held back")
    assert rows.run_json(run, an_iteration(), False)["held_back"] == "worse by something"


def test_a_run_that_lost_by_shift_alone_is_told_with_the_command_that_keeps_it():
    (stays, hint) = rows.remarks(an_iteration(improved=False), [run_with_intervals("aa", -0.02)])
    assert "starts from it again" in stays
    assert "ranks better than the starting model" in hint
    assert hint.endswith("hooktune run M DIR --main-metric test_dist_shift_gap")
    held = run_with_intervals("aa", -0.02, **{"hooktune.held_back": "worse by something"})
    assert len(rows.remarks(an_iteration(improved=False), [held])) == 1


def test_an_iteration_as_json_names_what_it_is_about():
    value = rows.iteration_json(an_iteration("aa", True))
    assert value["name"] == f"iteration / M / {'0' * 24}"
    assert value["main_metric"] == {"name": SHIFT, "greater_is_better": True}
    assert (value["best_run"], value["improved"]) == ("aa", True)
    assert value["created_at"] == "1970-01-01T00:00:00+00:00"
    table = printed(rows.iterations_table([an_iteration(None, False)]))
    assert "the starting model stays" in " ".join(table.split())


def test_the_ranking_stays_in_a_narrow_terminal_where_nothing_else_is_known():
    names = ("test_not_irrelevant_dist_shift", "test_mrr", "test_ndcg_at_10")
    for always, kept in ((), names[:1]), (names[2:], (names[0], names[2])):
        columns = rows.metric_columns(names, with_changes=False, always=always)
        assert tuple(column.heading for column in columns if column.importance == 9) == kept
