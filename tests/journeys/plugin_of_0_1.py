"""A method as it was written for hooktune 0.1.

Never change it: it stands for all plugins that are out there and must go on working.
"""

from typing import Annotated

from pydantic import Field

from hooktune import MainMetric, SearchRange, TrainingParams, hookimpl

NAME = "A method of 0.1"


class Params(TrainingParams):
    push: Annotated[float, SearchRange(0.1, 10, log=True)] = Field(default=1.0, gt=0, le=100)


@hookimpl
def upload_initial_model(settings):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(settings.initial_model, device=settings.device)


@hookimpl
def hyper_parameters():
    return Params


@hookimpl
def main_metric():
    return MainMetric("test_mean_score", greater_is_better=True)


@hookimpl
def fit_batch(run, model, batch, params):
    from hooktune import train

    def loss(sessions, scores):
        return -params.push * scores.mean()

    return train(run, model, batch, loss, params)


@hookimpl
def compute_metrics(sessions, scores):
    return {"mean_score": float(scores.mean()), "sessions": float(len(sessions))}


class Observer:
    NAME = "an observer of 0.1"

    def __init__(self):
        self.seen = []

    @hookimpl(wrapper=True)
    def fit_batch(self, batch):
        self.seen.append(("fit_batch", batch.batch_id))
        return (yield)

    @hookimpl(wrapper=True, tryfirst=True)
    def compute_metrics(self, scores):
        metrics = yield
        self.seen.append(("compute_metrics", len(scores)))
        return metrics
