"""What a method tells its run, and what the run measures for it."""

import copy
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import torch

import hooktune_default
import hooktune_metrics
from hooktune.contract.metric import MainMetric
from hooktune.data.release import open_batch
from hooktune.errors import ClaimLostError, PluginError
from hooktune.evaluation.evaluator import Evaluator
from hooktune.iteration.tracked_run import TrackedRun
from hooktune.plugin.checks import Plugin
from hooktune.plugin.host import Host
from hooktune.testing import tiny_model
from hooktune.training.encoder import TextEncoder
from hooktune.training.scoring import score_results


class Kept:
    """Keeps what it is told, as a metric log, as a progress bar and as the place of checkpoints."""

    last_time = 17

    def __init__(self) -> None:
        self.due, self.flushed, self.checkpoint = True, 0, None
        self.points: list[tuple[dict[str, float], int]] = []
        self.shown: list[tuple[int, float]] = []

    def add(self, metrics, step):
        self.points.append((dict(metrics), step))

    def flush(self):
        self.flushed = len(self.points)

    def is_due(self):
        return self.due

    def write(self, checkpoint):
        self.checkpoint = checkpoint

    def read(self):
        return self.checkpoint

    def expect(self, steps): ...

    def show(self, step, loss):
        self.shown.append((step, loss))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def model():
    return tiny_model()


@pytest.fixture
def run(kept: Kept, model, make_batch) -> TrackedRun:
    extension = Plugin("metrics", "extension", hooktune_metrics)
    host = Host(Plugin("M", "method", hooktune_default), [extension])
    sessions = open_batch(make_batch()).sessions
    evaluator = Evaluator(host, sessions, score_results(model, sessions), TextEncoder(model))
    return TrackedRun(5, MainMetric(), evaluator, kept, kept, Event())


def test_the_starting_model_is_measured_with_the_runs_loss(run: TrackedRun):
    run.starting_scores = np.full(run.evaluator.sessions.result_count, 0.5, dtype=np.float32)
    run.use_loss(lambda sessions, scores: float(len(sessions) * scores.mean()))
    assert run.starting_metrics == {"test_loss": len(run.evaluator.sessions) * 0.5}


def test_logged_metrics_carry_their_running_figures(run: TrackedRun, kept: Kept):
    run.log({"train_loss": 1.0}, 1)
    run.log({"train_loss": 3.0}, 4, accumulate=("min", "max"))
    run.log({"other": 1.0}, 2, accumulate=())
    assert kept.points == [
        ({"train_loss": 1.0, "mean_train_loss": 1.0, "sliding_train_loss": 1.0}, 1),
        ({"train_loss": 3.0, "min_train_loss": 1.0, "max_train_loss": 3.0}, 4),
        ({"other": 1.0}, 2),
    ]
    assert kept.shown[0] == (1, 1.0)
    assert run.last_step == 4


def test_scores_of_a_mini_batch_are_measured_as_training_metrics(run, kept, model):
    few = run.evaluator.sessions.take(np.arange(6))
    baseline = score_results(model, few)
    run.log_scores(model, few, baseline + 0.25, baseline, 3)
    ((metrics, step),) = kept.points
    assert step == 3
    assert metrics["train_not_irrelevant_dist_shift"] == pytest.approx(0.25, abs=1e-6)
    assert "mean_train_not_irrelevant_dist_shift" in metrics
    assert all("train_" in name for name in metrics)


def test_an_evaluation_is_tracked_with_the_loss_that_the_method_gave(run, kept, model):
    run.use_loss(lambda sessions, scores: 0.5)
    metrics = run.evaluate(model, 7)
    assert kept.points == [(metrics, 7)]
    assert metrics["test_loss"] == 0.5
    assert metrics["test_not_irrelevant_dist_shift"] == 0
    assert all(name.startswith("test_") for name in metrics)


def test_the_same_weights_are_not_encoded_twice(run, kept, model, monkeypatch):
    scored = []

    def counting(*args, **named):
        scored.append(args)
        return score_results(*args, **named)

    monkeypatch.setattr("hooktune.evaluation.evaluator.score_results", counting)
    first = run.evaluate(model, 1)
    assert run.evaluate(model, 2) == first
    assert len(scored) == 1
    with torch.no_grad():
        model[0].auto_model.embeddings.word_embeddings.weight *= 0.5
    assert run.evaluate(model, 3) != first
    assert len(scored) == 2
    assert [step for _, step in kept.points] == [1, 2, 3]


def test_a_method_may_ask_whether_to_stop(run: TrackedRun):
    assert not run.should_stop()
    run.stop.set()
    assert run.should_stop()
    assert (run.seed, run.main_metric) == (5, MainMetric())


def test_a_run_that_is_gone_on_with_is_as_it_was_at_the_checkpoint(
    run: TrackedRun, kept: Kept, model
):
    run.checkpoints = kept
    run.log({"train_loss": 1.0}, 1)
    measured = run.evaluate(model, 1)
    run.checkpoint(1, lambda: ({"weights": torch.ones(2)}, {"mine": 3}))
    assert kept.flushed == len(kept.points) == 2

    measures_nothing = replace(run.evaluator, host=None)
    later = TrackedRun(5, MainMetric(), measures_nothing, kept, kept, Event(), checkpoints=kept)
    found = later.resumed()
    assert (found.step, found.facts, later.last_step) == (1, {"mine": 3}, 1)
    assert later.seconds >= run.seconds - 60
    assert later.evaluate(model, 2) == measured, "without measuring it again"
    later.evaluator = run.evaluator
    again = later.evaluation_of(model, 2, is_last=True)
    assert again.metrics == measured
    assert len(again.per_session["test_mrr"]) == len(run.evaluator.sessions)
    later.log({"train_loss": 3.0}, 2)
    assert kept.points[-1] == (
        {"train_loss": 3.0, "mean_train_loss": 2.0, "sliding_train_loss": 2.0}, 2
    )  # fmt: skip


def test_a_checkpoint_that_is_not_due_costs_nothing(run: TrackedRun, kept: Kept):
    run.checkpoint(1, pytest.fail)
    run.checkpoints, kept.due = kept, False
    run.checkpoint(1, pytest.fail)
    assert run.resumed() is None


def test_a_run_that_another_process_has_taken_over_logs_nothing_more(run: TrackedRun, kept: Kept):
    def lost() -> None:
        raise ClaimLostError("it slept")

    run.check = lost
    with pytest.raises(ClaimLostError):
        run.log({"train_loss": 1.0}, 1)
    assert kept.points == []


@pytest.mark.parametrize(
    ("metrics", "step", "problem"),
    [
        ({"good": 1.0, "at 50%": 1.0}, 1, "'at 50%'.*other characters"),
        ({"good": 1.0, "bad": "high"}, 1, "'bad' is of the type str, not a number"),
        ({"good": 1.0, "bad": torch.ones(1)}, 1, r"'bad' .*convert it with float\(\)"),
        ({"test_mrr": 1.0}, 1, "'test_mrr'.*what hooktune itself measures"),
        ({"fit_seconds": 1.0}, 1, "'fit_seconds'.*what hooktune itself measures"),
        ({"a/../b": 1.0}, 1, "no plain path"),
        ({"good": 1.0}, 1.5, "the step 1.5 is no whole number"),
        ({"good": 1.0}, -1, "the step -1"),
        ([("good", 1.0)], 1, "list, not a dict"),
    ],
)
def test_what_cannot_be_tracked_is_refused_at_the_call(run, kept, metrics, step, problem):
    with pytest.raises(PluginError, match=problem):
        run.log(metrics, step)
    run.log({"good": np.float32(1), "loss/of words": float("nan")}, np.int64(2))
    ((points, at),) = kept.points
    assert at == 2
    assert points["good"] == 1
    assert np.isnan(points["loss/of words"])


def test_a_model_that_reads_texts_otherwise_is_measured_again(run, kept, model):
    model = copy.deepcopy(model)
    first = run.evaluate(model, 1)
    model.prompts, model.default_prompt_name = {"any": "look for "}, "any"
    second = run.evaluate(model, 2)
    model.prompts, model.default_prompt_name, model.max_seq_length = {}, None, 4
    third = run.evaluate(model, 3)
    model[1].include_prompt = not model[1].include_prompt
    run.evaluate(model, 4)
    assert len({repr(metrics) for metrics in (first, second, third)}) == 3
    assert len(run._evaluations) == 4
