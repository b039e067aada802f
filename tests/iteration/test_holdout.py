"""Queries that no choice sees, and that measure the model that is kept, once."""

from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

import hooktune_metrics
from hooktune import hookimpl
from hooktune.cli import rows
from hooktune.data.release import open_batch
from hooktune.evaluation.query_figures import HOLDOUT_QUERIES_FILE, QueryFigures, query_figures_of
from hooktune.iteration import holdout
from hooktune.iteration.lead import run_iteration
from hooktune.iteration.request import Request
from hooktune.plugin.checks import Plugin
from hooktune.plugin.host import Host
from hooktune.testing import tiny_model
from hooktune.tracking import Tracker
from hooktune.tracking.artifacts import read_artifact

SHIFT, HOLDOUT_SHIFT = "test_not_irrelevant_dist_shift", "holdout_not_irrelevant_dist_shift"


class Killed(BaseException):
    """Stands for what no process lives to see."""


class Pusher:
    """Moves all similarities up, and keeps the queries that it was given to learn from."""

    def __init__(self) -> None:
        self.queries: set[str] = set()

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def fit_batch(self, run, model, batch):
        self.queries = queries_of(batch.train)
        with torch.no_grad():
            model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += 0.5
        return model


def queries_of(sessions) -> set[str]:
    return set(sessions.queries.take(sessions.query_index).to_pylist())


@pytest.fixture
def tracker(store_uri: str, tmp_path: Path) -> Tracker:
    return Tracker(store_uri, tmp_path / "spool")


@pytest.fixture
def pusher() -> Pusher:
    return Pusher()


@pytest.fixture
def work(tracker: Tracker, pusher: Pusher, make_batch):
    batch = open_batch(make_batch(sessions=60, queries=30))

    def run(**settings):
        host = Host(
            Plugin("Pusher", "method", pusher), [Plugin("metrics", "extension", hooktune_metrics)]
        )
        request = Request(device="cpu", settings=settings)
        return run_iteration(tracker, host, batch, request, Event())

    run.batch = batch
    return run


def test_the_kept_model_is_measured_once_on_queries_that_nothing_has_seen(
    work, tracker: Tracker, pusher: Pusher, monkeypatch
):
    result = work(holdout_ratio=0.2)
    best = result.best
    content = read_artifact(tracker.client, best.run_id, HOLDOUT_QUERIES_FILE)
    figures = QueryFigures.from_bytes(content)
    kept_back = set(figures.to_pandas()["query"])
    tested = set(query_figures_of(tracker, best).to_pandas()["query"])
    assert len(kept_back) == 6
    assert not kept_back & (pusher.queries | tested)
    assert len(kept_back | pusher.queries | tested) == 30

    assert best.metrics[HOLDOUT_SHIFT] > 0
    before, after, sessions, _ = figures.pairs("holdout_ndcg_at_10")
    starting = best.holdout.starting["holdout_ndcg_at_10"]
    assert np.average(before, weights=sessions) == pytest.approx(starting, abs=1e-6)
    value = best.metrics["holdout_ndcg_at_10"]
    assert np.average(after, weights=sessions) == pytest.approx(value, abs=1e-6)
    told = rows.run_json(best, result.iteration, True)["holdout"][HOLDOUT_SHIFT]
    assert told["value"] == best.metrics[HOLDOUT_SHIFT]
    assert told["low"] <= told["difference"] <= told["high"]
    assert any(line.startswith(f"By {HOLDOUT_SHIFT} it ") for line in rows.result_summary(result))

    monkeypatch.setattr(holdout, "score_results", pytest.fail)
    assert work().best == best, "measured before"
    assert len(tracker.client.get_metric_history(best.run_id, HOLDOUT_SHIFT)) == 1


def test_a_process_that_dies_before_the_end_leaves_the_measuring_to_the_next_one(
    work, tracker: Tracker, monkeypatch
):
    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(holdout, "record_holdout", die)
        with pytest.raises(Killed):
            work(holdout_ratio=0.2)
    (iteration,) = tracker.iterations()
    assert tracker.best(iteration).holdout is None
    result = work()
    assert result.attempted == 0
    assert result.best.holdout is not None
    assert result.best.metrics[HOLDOUT_SHIFT] > 0


def test_without_a_holdout_all_is_as_it_was(work, pusher: Pusher):
    result = work()
    assert result.iteration.settings.holdout_ratio == 0, "30 queries are too few for one"
    assert result.best.holdout is None
    assert HOLDOUT_SHIFT not in result.best.metrics
    assert len(pusher.queries) == 24
