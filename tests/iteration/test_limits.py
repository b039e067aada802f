"""When a search ends before all of its runs are done."""

from dataclasses import replace

import pytest
from made_records import a_run, an_iteration

from hooktune.errors import RequestError
from hooktune.iteration.limits import Limits, seconds_of
from hooktune.iteration.run_keys import RunKeys
from hooktune.tracking import RunRecord
from hooktune.tracking.search_tags import search_tags

KEYS = RunKeys("M", None, {})


def runs_of(*values: float) -> list[RunRecord]:
    return [
        a_run(str(number), value, tags=search_tags(number, (), "a draw"))
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400), (30, 30), (0.5, 0.5)],
)
def test_a_time_is_given_in_seconds_or_with_its_unit(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "2 weeks", "-1", "nan", True])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(RequestError, match="is no time"):
        seconds_of(text)


def test_a_budget_ends_a_search_when_it_is_used_up():
    limits = Limits(budget=100.0, began=0.0)
    assert "the budget of 100 seconds" in limits.reached(an_iteration(), [], KEYS)
    assert Limits(budget=1e9).reached(an_iteration(), [], KEYS) == ""


def test_patience_counts_the_runs_since_the_best_one():
    limits = Limits(patience=2)
    assert limits.reached(an_iteration(), runs_of(0.1, 0.3, 0.2), KEYS) == ""
    assert limits.reached(an_iteration(), runs_of(0.3, 0.1, 0.4, 0.2), KEYS) == ""
    told = limits.reached(an_iteration(), runs_of(0.3, 0.1, 0.2), KEYS)
    assert "2 runs in a row" in told
    better = runs_of(0.3, 0.1, 0.4)
    better[2] = replace(better[2], tags=better[2].tags | {"hooktune.held_back": "a guard"})
    assert limits.reached(an_iteration(), better, KEYS), "one that is held back is not better"
    assert limits.reached(an_iteration(), [a_run("x", 0.1)] * 5, KEYS) == "", "other searches"
