"""What tests of training start from: sessions as columns, and a run that only takes notes."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch

from hooktune.contract.checkpoint import Checkpoint
from hooktune.contract.metric import MainMetric
from hooktune.contract.sessions import Sessions
from hooktune.testing import made_up_log, tiny_model
from hooktune.training.encoder import TextEncoder
from hooktune.training.scoring import score_results


def columns(**of_log) -> Sessions:
    log, items = made_up_log(**of_log)
    place = {item["object_id"]: number for number, item in enumerate(items)}
    queries = sorted({session["search_query"] for session in log})
    shown = [[result["object_id"] for result in session["search_results"]] for session in log]
    events = [[event["object_id"] for event in session["events"]] for session in log]
    return Sessions(
        queries=pa.array(queries),
        items=pa.array([item["text"] for item in items]),
        session_ids=pa.array([session["session_id"] for session in log]),
        query_index=np.array([queries.index(session["search_query"]) for session in log]),
        offsets=np.cumsum([0, *map(len, shown)]),
        item_index=np.array([place[name] for names in shown for name in names]),
        clicks=np.array(
            [
                clicked.count(name)
                for names, clicked in zip(shown, events, strict=True)
                for name in names
            ]
        ),
        rank=np.full(sum(map(len, shown)), np.nan, dtype=np.float32),
    )


def with_texts(sessions: Sessions, texts: list[str]) -> Sessions:
    item_texts = [texts[place % len(texts)] for place in range(len(sessions.items))]
    return Sessions(**{**vars_of(sessions), "items": pa.array(item_texts)})


def vars_of(sessions: Sessions) -> dict:
    return {name: getattr(sessions, name) for name in Sessions.__dataclass_fields__}


@dataclass
class RecordingRun:
    """Keeps what a method tells it, and measures the mean shift of clicked results."""

    test: Sessions
    baseline: np.ndarray
    seed: int = 0
    main_metric: MainMetric = field(default_factory=MainMetric)
    stop_after: int | None = None
    answers: list[float] | None = None
    logged: list = field(default_factory=list)
    measured: list = field(default_factory=list)
    evaluated: list = field(default_factory=list)
    expected: int | None = None
    going_on_from: Checkpoint | None = None
    kept_at: int | None = None
    kept: Checkpoint | None = None
    loss = None
    encoder: TextEncoder = field(default_factory=lambda: TextEncoder(tiny_model()))
    """Serves other models too, without keeping anything."""

    @property
    def device(self):
        return "cpu"

    @property
    def rank(self):
        return self.encoder.group.rank

    @property
    def world_size(self):
        return self.encoder.group.size

    def expect_steps(self, count):
        self.expected = count

    def use_loss(self, loss):
        self.loss = loss

    def log(self, metrics, step, accumulate=("mean", "sliding")):
        self.logged.append((step, dict(metrics)))

    def log_scores(self, model, sessions, scores, baseline, step):
        assert len(scores) == len(baseline) == sessions.result_count
        self.measured.append((step, sessions, scores, baseline))

    def evaluate(self, model, step):
        value = float((score_results(model, self.test) - self.baseline)[self.test.clicked].mean())
        if self.answers is not None:
            value = self.answers[len(self.evaluated)]
        weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        self.evaluated.append((step, value, weights))
        return {self.main_metric.name: value}

    def checkpoint(self, step, state):
        if step == self.kept_at:
            self.kept = Checkpoint(step, *state())

    def resumed(self):
        return self.going_on_from

    def should_stop(self):
        return self.stop_after is not None and len(self.logged) >= self.stop_after


def draw_clicked(sessions, scores):
    """A loss that draws clicked results to their query."""
    return (1 - scores[torch.tensor(sessions.clicked)]).mean()


def weights_of(model) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}
