"""What people read of the store: tables and JSON."""

import math

from made_records import SHIFT, a_run, an_iteration

from hooktune.cli import rows

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
    kept, gone = (rows.run_json(a_run("aa", 0.1), has_model) for has_model in (True, False))
    assert kept["metrics"] == {SHIFT: 0.1}
    assert (kept["model_uri"], gone["model_uri"]) == ("runs:/aa/model", None)


def test_an_iteration_as_json_names_what_it_is_about():
    value = rows.iteration_json(an_iteration("aa", True))
    assert value["name"] == f"iteration / M / {'0' * 24}"
    assert value["main_metric"] == {"name": SHIFT, "greater_is_better": True}
    assert (value["best_run"], value["improved"]) == ("aa", True)
    assert value["created_at"] == "1970-01-01T00:00:00+00:00"
    table = printed(rows.iterations_table([an_iteration(None, False)]))
    assert "the starting model stays" in " ".join(table.split())
