"""Methods and extensions for tests of `hooktune.testing`: good ones, and those with one fault each.

Each class stands by the name of the check that is to find it.
"""

import copy
import os
import random
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, field_validator
from sentence_transformers import SentenceTransformer

from hooktune import MainMetric, SearchRange, TrainingParams, hookimpl, train
from hooktune.contract.seeding import seeded


def softmax_loss(sessions, scores):
    session = torch.tensor(sessions.session_index)
    totals = torch.zeros(len(sessions)).index_add(0, session, (10 * scores).exp())
    return (totals[session].log() - 10 * scores)[torch.tensor(sessions.clicked)].mean()


class Good:
    """A method that keeps the contract; the others differ from it by one fault."""

    @hookimpl
    def upload_initial_model(self, settings):
        return SentenceTransformer(settings.initial_model, device=settings.device)

    @hookimpl
    def hyper_parameters(self):
        return TrainingParams

    @hookimpl
    def fit_batch(self, run, model, batch, params):
        return self.tune(run, model, batch, params)

    def tune(self, run, model, batch, params):
        return train(run, model, batch, softmax_loss, params)


class AfterTuning(Good):
    """Tunes as `Good` does, and does something else besides."""

    def tune(self, run, model, batch, params):
        tuned = super().tune(run, model, batch, params)
        self.after(run, batch)
        return tuned

    def after(self, run, batch): ...


class Misspelt:
    @hookimpl
    def upload_initial_model(self, settings): ...

    @hookimpl
    def fit_bach(self, model): ...


def with_params(**fields):
    """A method with one more hyper-parameter."""
    annotations = {name: annotation for name, (annotation, _) in fields.items()}
    values = {name: field for name, (_, field) in fields.items()}
    params = type("Params", (TrainingParams,), {"__annotations__": annotations, **values})

    class WithParams(Good):
        @hookimpl
        def hyper_parameters(self):
            return params

    return WithParams()


class Clamping(Good):
    class Params(TrainingParams):
        depth: int = Field(default=1, ge=0, le=3, description="How deep.")

        @field_validator("depth", mode="before")
        @classmethod
        def _clamped(cls, value):
            return min(max(value, 0), 3)

    @hookimpl
    def hyper_parameters(self):
        return self.Params


class NotJson(Good):
    class Params(TrainingParams):
        words: object = Field(default=frozenset, description="A class, which JSON cannot hold.")

    @hookimpl
    def hyper_parameters(self):
        return self.Params


class PathOfItsOwn(Good):
    @hookimpl
    def upload_initial_model(self):
        raise FileNotFoundError("/models/our-own")


class ReturnsNothing(Good):
    def tune(self, run, model, batch, params):
        super().tune(run, model, batch, params)


class Raises(Good):
    def tune(self, run, model, batch, params):
        return {}["weights"]


class UnknownMainMetric(Good):
    @hookimpl
    def main_metric(self):
        return MainMetric("test_happiness")


class ReturnsTheUntrained(Good):
    def tune(self, run, model, batch, params):
        super().tune(run, copy.deepcopy(model), batch, params)
        return model


class Unseeded(Good):
    def tune(self, run, model, batch, params):
        tuned = super().tune(run, model, batch, params)
        with torch.no_grad():
            for weight in tuned.parameters():
                weight += 1e-3 * torch.from_numpy(
                    np.random.default_rng().normal(size=weight.shape).astype(np.float32)
                )
        return tuned


class Remembers(Good):
    """Tunes the model of its last run."""

    last = None

    def tune(self, run, model, batch, params):
        if self.last is not None:
            model.load_state_dict(self.last)
        tuned = super().tune(run, model, batch, params)
        self.last = copy.deepcopy(tuned.state_dict())
        return tuned


class SeedsTorch(AfterTuning):
    def after(self, run, batch):
        torch.manual_seed(run.seed)


class DrawsFromNumPy(AfterTuning):
    def after(self, run, batch):
        np.random.rand()  # noqa: NPY002


class DrawsFromPython(AfterTuning):
    def after(self, run, batch):
        random.random()


class SetsThreads(AfterTuning):
    def after(self, run, batch):
        torch.set_num_threads(torch.get_num_threads() + 1)


class SetsDtype(AfterTuning):
    def after(self, run, batch):
        torch.set_default_dtype(torch.float64)


class SwitchesGradientsOff(AfterTuning):
    def after(self, run, batch):
        torch.set_grad_enabled(False)


class SetsVariable(AfterTuning):
    def after(self, run, batch):
        os.environ["TOKENIZERS_PARALLELISM"] = "maybe"


class ChangesFolder(AfterTuning):
    def after(self, run, batch):
        os.chdir(Path.cwd().parent)


class SetsTrackingUri(AfterTuning):
    def after(self, run, batch):
        import mlflow

        mlflow.set_tracking_uri("sqlite:///elsewhere.db")


class WritesToItsBatch(AfterTuning):
    def after(self, run, batch):
        batch.train.clicks[:] = 1


class ChangesBaseline(AfterTuning):
    def after(self, run, batch):
        batch.baseline.setflags(write=True)
        batch.baseline[:] = 0


class ChangesDerivedColumn(AfterTuning):
    def after(self, run, batch):
        batch.train.clicked.setflags(write=True)
        np.logical_not(batch.train.clicked, out=batch.train.clicked)


class LogsOddName(AfterTuning):
    def after(self, run, batch):
        run.log({"loss @ end": 1.0}, 1, ())


class LogsStepZeroPointFive(AfterTuning):
    def after(self, run, batch):
        run.log({"train_rest": 1.0}, 0.5, ())


class LogsNaN(AfterTuning):
    def after(self, run, batch):
        run.log({"train_ratio": float("nan")}, 1, ())


class BadWrapper(Good):
    @hookimpl(wrapper=True, specname="compute_metrics")
    def pager(self):
        yield
        raise ConnectionError("pager is down")


class Noisy(Good):
    def tune(self, run, model, batch, params):
        tuned = super().tune(run, model, batch, params)
        tuned[1].register_forward_hook(
            lambda module, inputs, output: output.update(
                sentence_embedding=torch.nn.functional.dropout(output["sentence_embedding"], 0.1)
            )
        )
        return tuned


class Scaled(torch.nn.Module):
    """A module that only this file knows."""

    def forward(self, features):
        return features

    def save(self, *args, **kwargs): ...


class OwnModule(Good):
    def tune(self, run, model, batch, params):
        tuned = super().tune(run, model, batch, params)
        tuned.add_module("2", Scaled())
        return tuned


class Hooked(Good):
    """Leaves its work in a hook, as an adapter that was not merged does."""

    def tune(self, run, model, batch, params):
        tuned = super().tune(run, model, batch, params)
        with seeded(run.seed):
            turn = torch.linalg.qr(torch.randn(32, 32)).Q
        tuned[1].register_forward_hook(
            lambda module, inputs, output: output.update(
                sentence_embedding=output["sentence_embedding"] @ turn
                + torch.arange(32, dtype=torch.float32)
            )
        )
        return tuned


class _Deaf:
    """A run that never says to stop."""

    def __init__(self, run, *, asking):
        self._run, self._asking = run, asking

    def __getattr__(self, name):
        return getattr(self._run, name)

    def should_stop(self):
        if self._asking:
            self._run.should_stop()
        return False


class NeverAsks(Good):
    def tune(self, run, model, batch, params):
        return super().tune(_Deaf(run, asking=False), model, batch, params)


class NeverStops(Good):
    def tune(self, run, model, batch, params):
        return super().tune(_Deaf(run, asking=True), model, batch, params)


class NeedsTwoSessions(Good):
    def tune(self, run, model, batch, params):
        assert len(batch.train) > 1
        return super().tune(run, model, batch, params)


class Ascii(Good):
    def tune(self, run, model, batch, params):
        for text in (*batch.train.queries.to_pylist(), *batch.train.items.to_pylist()):
            text.encode("ascii")
        return super().tune(run, model, batch, params)


class Untruncated(Good):
    def tune(self, run, model, batch, params):
        for text in batch.train.items.to_pylist():
            if len(text.split()) > model.max_seq_length:
                raise IndexError("index out of range in self")
        return super().tune(run, model, batch, params)


class KeyedByQuery(Good):
    def tune(self, run, model, batch, params):
        if len(np.unique(batch.train.query_index)) < min(2, len(batch.train)):
            raise KeyError("apple bread")
        return super().tune(run, model, batch, params)


class NeedsOthers(Good):
    def tune(self, run, model, batch, params):
        sessions = batch.train
        for place in np.flatnonzero(sessions.not_irrelevant):
            others = ~sessions.clicked[sessions.offsets[place] : sessions.offsets[place + 1]]
            if len(others) == 1 and not others.any():
                raise ValueError("a is empty")
        return super().tune(run, model, batch, params)


NUMBER = Field(default=1.0, description="A number.")
METHODS = [
    ("hooks", Misspelt(), "Did you mean 'fit_batch'?"),
    ("hyper_parameters", with_params(depth=(float, NUMBER)), "the number 'depth' has no bounds"),
    (
        "hyper_parameters",
        with_params(depth=(float, Field(default=2.0, le=1, description="A number."))),
        "the defaults of Params break its own rules (depth",
    ),
    (
        "hyper_parameters",
        with_params(depth=(int, Field(default=2, ge=0, le=4))),
        "'depth' has no description",
    ),
    (
        "hyper_parameters",
        with_params(
            depth=(
                Annotated[float, SearchRange(0, 2)],
                Field(default=1.0, ge=0, le=1, description="A number."),
            )
        ),
        "'depth' is searched at 2, which its own bounds refuse",
    ),
    ("hyper_parameters", Clamping(), "'depth' takes -1, which is out of its bounds"),
    ("hyper_parameters", NotJson(), "cannot be written as JSON"),
    ("initial_model", PathOfItsOwn(), "has to load the model that the user named"),
    ("fit_batch", ReturnsNothing(), "it returned None, not a SentenceTransformer"),
    ("fit_batch", Raises(), "failed in fit_batch: KeyError: 'weights'"),
    ("fit_batch", WritesToItsBatch(), "ValueError: assignment destination is read-only"),
    ("main_metric", UnknownMainMetric(), "'test_happiness' is not among those"),
    ("weights_changed", ReturnsTheUntrained(), "Return the model that was trained"),
    ("deterministic", Unseeded(), "Let all that is random follow run.seed"),
    ("deterministic", Remembers(), "keep nothing from one run to the next"),
    ("random_state", SeedsTorch(), "changed torch. Draw from generators of your own"),
    ("random_state", DrawsFromNumPy(), "changed numpy.random"),
    ("random_state", DrawsFromPython(), "changed random"),
    ("torch_settings", SetsThreads(), "changed the number of threads"),
    ("torch_settings", SetsDtype(), "changed the default dtype"),
    ("torch_settings", SwitchesGradientsOff(), "changed the gradient mode"),
    ("environment", SetsVariable(), "changed TOKENIZERS_PARALLELISM"),
    ("working_folder", ChangesFolder(), "Use absolute paths"),
    ("mlflow_state", SetsTrackingUri(), "Never call mlflow.set_tracking_uri()"),
    ("batch_unchanged", ChangesBaseline(), "changed baseline of its batch"),
    ("batch_unchanged", ChangesDerivedColumn(), "changed train.clicked of its batch"),
    ("metric_names", LogsOddName(), "other characters than letters"),
    ("metric_names", LogsStepZeroPointFive(), "the step 0.5"),
    ("metrics_finite", LogsNaN(), "'train_ratio' is nan at step 1"),
    ("observers", BadWrapper(), "pager is down"),
    ("stable_scores", Noisy(), "in eval mode, embeds the same texts differently"),
    ("saves_and_loads", OwnModule(), "bad_plugins.Scaled, without which nobody can load it"),
    ("saves_and_loads", Hooked(), "merge adapters into the weights they adapt"),
    ("stops", NeverAsks(), "never asks whether the user wants to stop"),
    ("stops", NeverStops(), "Ask run.should_stop() at every step"),
    ("one_session", NeedsTwoSessions(), "a batch with one session: "),
    ("unicode_texts", Ascii(), "UnicodeEncodeError"),
    ("long_texts", Untruncated(), "index out of range in self"),
    ("duplicate_queries", KeyedByQuery(), "Tell sessions apart by their places"),
    ("single_results", NeedsOthers(), "Pass over a session that has no other result"),
]
"""Faulty methods: the check that finds each, the method, and what the message says."""


class Measure:
    """A metric that keeps the contract: the mean score."""

    @hookimpl
    def compute_metrics(self, sessions, scores):
        return self.metrics(sessions, scores)

    def metrics(self, sessions, scores):
        return {"mean_score": float(scores.mean())}


def measure(function):
    """An extension whose metrics a function computes."""
    extension = Measure()
    extension.metrics = function
    return extension


class Counter:
    """Gives another value each time."""

    def __init__(self):
        self.calls = 0

    def __call__(self, sessions, scores):
        self.calls += 1
        return {"calls": self.calls}


def of_clicked(sessions, scores):
    with np.errstate(invalid="ignore"):
        clicked = sessions.clicked
        return {"mean_of_clicked": (scores * clicked).sum() / clicked.sum()}


def of_first_clicked(sessions, scores):
    return {"first_clicked": float(scores[np.flatnonzero(sessions.clicked)[0]])}


def spread(sessions, scores):
    if len(sessions) < 2:
        raise ValueError("variance requires at least two data points")
    return {"spread": float(np.var(scores))}


def sorts_in_place(sessions, scores):
    scores.setflags(write=True)
    scores.sort()
    return {"median": float(scores[len(scores) // 2])}


def seeds(sessions, scores):
    np.random.seed(0)  # noqa: NPY002
    return {"sample": float(np.random.choice(scores))}  # noqa: NPY002


class Replaces:
    @hookimpl(wrapper=True)
    def fit_batch(self, model):
        yield
        return copy.deepcopy(model)


class FailsOnFailure:
    @hookimpl(wrapper=True)
    def fit_batch(self):
        try:
            return (yield)
        except Exception as error:
            raise ConnectionError("pager is down") from error


class Observer:
    """An observer that keeps the contract."""

    def __init__(self):
        self.seen = []

    @hookimpl(wrapper=True)
    def fit_batch(self, batch):
        try:
            return (yield)
        finally:
            self.seen.append(batch.batch_id)


EXTENSIONS = [
    ("hooks", Good(), "'fit_batch' belongs to a method"),
    ("computed_metrics", measure(lambda *_: {"f@1": 1.0}), "other characters than letters"),
    ("computed_metrics", measure(lambda *_: [1.0]), "not a dict of numbers by name"),
    ("computed_metrics", measure(lambda *_: {"train_mean": 1.0}), "Name it 'mean'"),
    ("computed_finite", measure(lambda *_: {"ratio": float("inf")}), "'ratio' is inf"),
    ("computed_deterministic", measure(Counter()), "'calls' differs between two"),
    ("computed_unchanged", measure(sorts_in_place), "compute_metrics changed scores"),
    ("computed_without_clicks", measure(of_clicked), "'mean_of_clicked' is nan for sessions"),
    ("computed_without_clicks", measure(of_first_clicked), "fails on sessions without any click"),
    ("computed_one_session", measure(spread), "fails on a single session"),
    ("random_state", measure(seeds), "changed numpy.random"),
    ("observers", Replaces(), "it returned another result"),
    ("observers", FailsOnFailure(), "pager is down"),
]
"""Faulty extensions: the check that finds each, the extension, and what the message says."""
