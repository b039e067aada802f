"""When a run is stopped since it falls behind others, and that this can be repeated."""

import json

import numpy as np
import pytest
from tracked import begin, start_run

from hooktune.contract.metric import MainMetric
from hooktune.errors import HooktuneError
from hooktune.iteration.courses import (
    RunCourse,
    course_from,
    keep_course,
    make_pruner,
    pruned_tags,
    values_of_queries,
)
from hooktune.iteration.pruning import Course, Pruner
from hooktune.iteration.trials import trial_of
from hooktune.tracking import Tracker

SHIFT = "test_not_irrelevant_dist_shift"
QUERIES = 200
BEST = np.random.default_rng(0).normal(0.5, 0.2, QUERIES)
NOISE = np.random.default_rng(1).normal(0, 0.05, QUERIES)


def course(*values: np.ndarray) -> Course:
    """A course of evaluations that are spread evenly, to the end."""
    made = Course()
    for number, each in enumerate(values, start=1):
        made.add(number / len(values), each)
    return made


def at_half(values: np.ndarray) -> Course:
    return Course([0.5], [values])


@pytest.mark.parametrize(("behind", "is_stopped"), [(0.03, True), (0.0, False), (-0.03, False)])
def test_a_run_is_stopped_where_its_queries_are_behind_the_best_runs(behind, is_stopped):
    pruner = Pruner("queries", [course(BEST, BEST + 0.3), course(BEST - 0.2, BEST)])
    reason = pruner.reason(at_half(BEST + NOISE - behind))
    assert bool(reason) is is_stopped
    if reason:
        assert "after 50% of its training it was 0.03" in reason
        assert "200 queries differ, p below 0.001" in reason


def test_what_is_compared_is_the_same_share_of_the_training():
    early, late = BEST - 0.5, BEST
    pruner = Pruner("queries", [course(early, early, early, late)])
    assert pruner.reason(at_half(early + NOISE)) is None
    assert pruner.reason(Course([0.1], [early - 1.0])) is None, "each run has its beginning"
    assert pruner.reason(Course([1.0], [early - 1.0])) is None, "nothing is left to save"
    assert Pruner("queries", [Course([0.9], [late])]).reason(at_half(early)) is None


def test_few_queries_tell_nothing():
    best = course(BEST[:10], BEST[:10])
    assert Pruner("queries", [best]).reason(at_half(BEST[:10] - 0.5)) is None
    assert Pruner("queries", [course(BEST, BEST)]).reason(at_half(BEST[:50] - 1)) is None, "others"


def test_a_run_is_stopped_below_the_median_of_the_others():
    others = [course(BEST + more, BEST + more) for more in (0.1, 0.0, -0.1)]
    pruner = Pruner("median", others)
    assert "the median of 3 runs" in pruner.reason(at_half(BEST - 0.05))
    assert pruner.reason(at_half(BEST + 0.05)) is None
    assert Pruner("median", others[:2]).reason(at_half(BEST - 1)) is None, "two are too few"


def test_queries_have_the_mean_of_their_sessions_with_more_being_better():
    values = np.array([1.0, 3.0, np.nan, 5.0])
    queries = np.array([4, 4, 4, 7])
    assert values_of_queries(values, queries, MainMetric("test_mrr")).tolist() == [2, 5]
    assert values_of_queries(values, queries, MainMetric("test_loss", False)).tolist() == [-2, -5]
    none = values_of_queries(np.array([np.nan, 1.0]), np.array([0, 1]), MainMetric("test_mrr"))
    assert np.isnan(none[0])


def test_a_run_goes_on_with_its_course_after_a_death():
    queries = np.arange(QUERIES)
    pruner = Pruner("queries", [course(BEST, BEST, BEST, BEST)])
    run = RunCourse(MainMetric(SHIFT), queries, pruner)
    run.look(1, {SHIFT: BEST})
    assert run.course.shares == [], "the method has not told how many steps it takes"
    run.steps = 4
    run.look(1, {SHIFT: BEST})
    again = RunCourse(MainMetric(SHIFT), queries, pruner, steps=4)
    again.restore(json.loads(json.dumps(run.state())))
    for each in (run, again):
        each.look(2, {SHIFT: BEST + NOISE - 0.1})
    assert run.reason == again.reason is not None
    assert run.state() == again.state()
    ranked = RunCourse(MainMetric(SHIFT), queries, steps=2)
    ranked.look(1, {"test_ndcg_at_10": BEST})
    assert ranked.course.shares == [0.5], "where the main metric is not known by session"


def test_runs_are_compared_with_what_finished_ones_have_kept(store_uri):
    tracker = Tracker(store_uri)
    iteration = begin(tracker)
    for value in (0.1, 0.2):
        run = start_run(tracker, iteration, value)
        keep_course(tracker, run, course(BEST + value, BEST + value))
        tracker.end_run(run, "FINISHED")
    behind = start_run(tracker, iteration, 0.9)
    stopped = RunCourse(MainMetric(SHIFT), np.arange(QUERIES), course=at_half(BEST), reason="slow")
    tracker.tag(behind, pruned_tags(stopped))
    tracker.end_run(behind, "FINISHED")
    assert make_pruner(tracker, iteration, "none") is None
    pruner = make_pruner(tracker, iteration, "queries")
    means = [other.values[0].mean() - BEST.mean() for other in pruner.others]
    assert means == pytest.approx([0.2, 0.1], abs=1e-6)

    behind = tracker.run(behind.run_id)
    assert behind.held_back == "stopped early: slow", "which is never the best"
    trial = trial_of(iteration, behind)
    assert (trial.state, trial.value, trial.steps) == ("pruned", None, {500: 0.9})


def test_a_course_that_is_no_table_is_refused():
    with pytest.raises(HooktuneError, match="its course cannot be read"):
        course_from(b"nothing")
