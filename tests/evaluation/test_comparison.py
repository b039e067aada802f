"""The methods of a batch side by side: who wins, who does not compare, and how it is shown."""

import json
from pathlib import Path

import pytest
from tracked import SHIFT, finish
from warm_python import run_python

from hooktune.cli import comparison as shown
from hooktune.cli.tables import json_text
from hooktune.contract.metric import MainMetric
from hooktune.contract.settings import IterationSettings
from hooktune.errors import RequestError
from hooktune.evaluation.comparison import compare, plot_comparison
from hooktune.tracking import Tracker

BATCH = f"{1:024x}"


def printed(comparison) -> str:
    table = shown.comparison_table(comparison).render()
    return "\n".join([table, *shown.comparison_remarks(comparison)])


def test_each_method_stands_by_its_best_run_and_the_best_one_wins(tracker: Tracker):
    finish(tracker, 1, 0.2, 0.1, method="Good")
    finish(tracker, 1, 0.1, 0.3, method="Better")
    finish(tracker, 1, -0.2, -0.1, method="Useless")
    finish(tracker, 2, 0.9, method="Elsewhere")

    compared = compare(tracker, BATCH)
    assert compared.winner.method == "Better"
    assert [(each.method, each.metric(SHIFT)) for each in compared.methods] == [
        ("Better", 0.3),
        ("Good", 0.2),
        ("Useless", -0.1),
    ]
    assert compared.methods[0].run.model_bytes > 10_000
    assert compared.methods[2].run.model_bytes is None
    assert compared.obstacles == ()
    assert compared.notes == ("No run of Useless beats its starting model, which stays.",)

    text = printed(compared)
    line = next(line for line in text.splitlines() if "winner" in line)
    assert "Better" in line
    assert " MB" in line
    assert f"Better is the winner, by {SHIFT}." in text

    read = json.loads(json_text(shown.comparison_json(compared)))
    assert (read["batch_id"], read["winner"], read["comparable"]) == (BATCH, "Better", True)
    assert read["methods"][0]["metrics"][SHIFT] == 0.3
    assert read["methods"][2]["improved"] is False


def test_a_metric_that_is_to_be_small_is_won_by_the_smallest(tracker: Tracker):
    settings = IterationSettings(main_metric=MainMetric("test_loss", greater_is_better=False))
    given = {"settings": settings, "starting_value": 1.0}
    finish(tracker, 1, 0.5, method="Low", **given)
    finish(tracker, 1, 0.9, method="High", **given)
    compared = compare(tracker, BATCH)
    assert compared.winner.method == "Low"
    assert compared.metrics[0] == "test_loss"
    assert compared.starting_metrics == {"test_loss": 1.0}


def test_nobody_wins_where_no_run_beats_its_starting_model(tracker: Tracker):
    finish(tracker, 1, -0.2, method="Useless")
    finish(tracker, 1, method="Empty")
    compared = compare(tracker, BATCH)
    assert compared.winner is None
    text = printed(compared)
    assert "No method beats its starting model on this batch." in text
    assert "No run of Empty has finished." in text
    assert shown.comparison_json(compared)["methods"][1]["run_id"] is None


def test_methods_with_other_settings_do_not_compare(tracker: Tracker):
    finish(tracker, 1, 0.1, method="Plain")
    other = IterationSettings(seed=1, test_ratio=0.5, main_metric=MainMetric("test_mrr"))
    finish(tracker, 1, 0.9, method="Other", settings=other)
    compared = compare(tracker, BATCH)
    assert compared.winner is None
    assert compared.metrics[:2] == ("test_mrr", SHIFT)
    text = printed(compared)
    assert f"different main metrics (test_mrr:max: Other; {SHIFT}:max: Plain)" in text
    assert "different seeds, and so other test queries (0: Plain; 1: Other)" in text
    assert "different shares of the queries (0.2: Plain; 0.5: Other)" in text
    assert "no method is the winner" in text
    assert shown.comparison_json(compared)["comparable"] is False


def test_methods_that_started_from_other_models_are_told(tracker: Tracker):
    settings = IterationSettings(main_metric=MainMetric("test_mrr"))
    for method, start in (("Beginner", 0.4), ("Expert", 0.6)):
        finish(tracker, 1, 0.7, method=method, settings=settings, starting_value=start)
    compared = compare(tracker, BATCH)
    assert compared.winner is not None
    assert compared.starting_metrics == {}
    assert "started from different models" in compared.notes[-1]


def test_a_batch_without_runs_is_refused(tracker: Tracker):
    with pytest.raises(RequestError, match="There are no runs yet"):
        compare(tracker, BATCH)
    finish(tracker, 2, 0.1)
    with pytest.raises(RequestError, match=f"There are runs on: {2:024x}"):
        compare(tracker, BATCH)


PLOT = """
import sys
from pathlib import Path
from hooktune.evaluation.comparison import compare, plot_comparison
from hooktune.tracking import Tracker

plot_comparison(compare(Tracker(sys.argv[1]), sys.argv[2]), Path(sys.argv[3]))
assert "matplotlib.pyplot" not in sys.modules
"""


def test_a_plot_is_drawn_without_pyplot(tracker: Tracker, tmp_path: Path):
    finish(tracker, 1, 0.2, method="Good")
    finish(tracker, 1, -0.2, method="$x_1$ [useless]")
    file = tmp_path / "plot.png"
    done = run_python("-c", PLOT, tracker.tracking_uri, BATCH, file)
    assert done.returncode == 0, done.stderr
    assert file.read_bytes().startswith(b"\x89PNG")


def test_a_plot_that_cannot_be_written_is_a_wrong_request(tracker: Tracker, tmp_path: Path):
    finish(tracker, 1, 0.2)
    with pytest.raises(RequestError, match="cannot be written"):
        plot_comparison(compare(tracker, BATCH), tmp_path / "missing" / "plot.png")
