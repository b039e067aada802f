"""A process that follows the leading one stays in step with it, whatever fails there alone."""

import copy
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from recording_run import columns
from two_processes import MODEL, in_two_processes

import hooktune_default
from hooktune import Runner, hookimpl
from hooktune.contract.metric import MainMetric
from hooktune.errors import ClaimLostError
from hooktune.evaluation.evaluator import Evaluator
from hooktune.iteration.follow import FollowingRun
from hooktune.iteration.tracked_run import TrackedRun
from hooktune.plugin.checks import Plugin
from hooktune.plugin.host import Host
from hooktune.training.encoder import TextEncoder


class Metrics:
    """Measures one metric, and fails on the run's last step."""

    @hookimpl
    def compute_metrics(self, scores):
        if not np.isfinite(scores).all():
            raise ValueError("cannot measure this")
        return {"mean_score": float(scores.mean())}


class Silent:
    """Takes points, as a metric log, and losses, as a progress bar."""

    last_time = 0

    def add(self, metrics, step): ...

    def expect(self, steps): ...

    def show(self, step, loss): ...


def run_of(group, check=lambda: None):
    sessions = columns(seed=1)
    host = Host(
        Plugin("M", "method", hooktune_default), [Plugin("metrics", "extension", Metrics())]
    )
    encoder = TextEncoder(copy.deepcopy(MODEL), 0, group)
    baseline = np.zeros(sessions.result_count, dtype=np.float32)
    measure = Evaluator(host, sessions, baseline, encoder)
    if not group.leads:
        return FollowingRun(0, MainMetric(), measure, group)
    silent = Silent()
    return TrackedRun(0, MainMetric(), measure, silent, silent, Event(), check, group=group)


def outcome(work) -> object:
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def test_an_evaluation_gives_the_same_in_all_processes():
    def evaluated(group):
        run = run_of(group)
        return [run.resumed(), run.evaluate(MODEL, 1), run.evaluate(MODEL, 2), run.should_stop()]

    leading, following = in_two_processes(evaluated)
    assert leading == following
    assert leading[1] == leading[2] == {"test_mean_score": pytest.approx(0, abs=1)}


def test_a_run_that_was_lost_ends_in_all_processes():
    def lose() -> None:
        raise ClaimLostError("it slept")

    def lost(group):
        run = run_of(group, lose)
        run.log({"train_loss": 1.0}, 1)
        return outcome(run.should_stop), group.share(group.rank)

    assert in_two_processes(lost) == [("ClaimLostError: it slept", 0)] * 2


def test_a_plugin_that_fails_to_measure_fails_in_all_processes():
    def failing(group):
        run = run_of(group)
        run.evaluate(MODEL, 1)
        scores = np.full(run.evaluator.sessions.result_count, np.nan, dtype=np.float32)
        run.log_scores(MODEL, run.evaluator.sessions, scores, run.evaluator.baseline, 1)
        return outcome(lambda: run.evaluate(MODEL, 2)), group.share(group.rank)

    leading, following = in_two_processes(failing)
    assert leading == following
    assert "cannot measure this" in leading[0]


def test_an_iteration_goes_on_after_a_run_that_fails_in_the_leading_process_alone(
    store_uri: str, make_batch, tiny_model_folder: Path
):
    batch = make_batch()

    def tuned(group):
        runner = Runner(store_uri, group=group, plugins=[Fails(group.leads)])
        result = runner.run(
            "Default Fine Tuning Method", batch, max_runs=2, seed=1,
            params={"mini_batch_size": 4}, initial_model=str(tiny_model_folder),
        )  # fmt: skip
        return [run.status for run in result.runs], result.attempted

    assert in_two_processes(tuned) == [(["FAILED", "FINISHED"], 2)] * 2


def test_the_average_of_runs_is_measured_by_all_processes(
    store_uri: str, make_batch, tiny_model_folder: Path
):
    batch = make_batch()

    def tuned(group):
        result = Runner(store_uri, group=group).run(
            "Default Fine Tuning Method", batch, max_runs=2, seed=1,
            initial_model=str(tiny_model_folder),
        )  # fmt: skip
        return [(run.name, run.status, run.metrics) for run in result.runs]

    leading, following = in_two_processes(tuned)
    assert leading == following
    assert leading[-1][:2] == ("average of 2 runs", "FINISHED")


class Fails:
    """Fails once, in the leading process alone, to measure what it is given."""

    def __init__(self, leads: bool) -> None:
        self.calls = 0 if leads else 100

    @hookimpl
    def compute_metrics(self):
        self.calls += 1
        if self.calls == 4:
            raise ValueError("no luck")
        return {}
