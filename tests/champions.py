"""Iterations and champions for the tests of promotion, made without any training."""

import torch
from tracked import METHOD, SHIFT, begin

from hooktune.contract.metric import RANKING_METRIC
from hooktune.evaluation.promotion import Promotion, promote
from hooktune.plugin.host import Host
from hooktune.testing import tiny_model
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.models import champions as registry


def no_host() -> Host:
    """Stand for the plugins where nothing has to be measured."""
    raise AssertionError("nothing has to be measured")


def finish(
    tracker: Tracker, batch: int, value: float, ranking: float | None = 0.5, **given: object
) -> RunRecord:
    """Do an iteration with one run, whose starting model ranks at 0.5; return its best run."""
    iteration = begin(tracker, batch, **given)
    tracker.record_starting_metrics(iteration, {SHIFT: 0.0, RANKING_METRIC: 0.5})
    do_run(tracker, iteration, value, ranking)
    return tracker.starting_model(tracker.finish_iteration(iteration).name.method)


def do_run(
    tracker: Tracker, iteration: Iteration, value: float, ranking: float | None
) -> RunRecord:
    """Do all that the host does of a run, but for the training."""
    key = f"run {value}"
    run = tracker.start_run(iteration, key, key, {}, {}, {})
    log = tracker.metric_log(run)
    log.add({SHIFT: value} | ({} if ranking is None else {RANKING_METRIC: ranking}), step=1)
    log.close()
    model = tiny_model()
    with torch.no_grad():
        model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += value
    tracker.keep_if_best(run, model, 1)
    return tracker.end_run(run, "FINISHED")


def champion(tracker: Tracker) -> registry.ModelVersion | None:
    """Return the present champion."""
    return registry.find_champion(tracker.client, METHOD)


def hand_over(tracker: Tracker, **given: object) -> Promotion:
    """Promote the best model by what iterations have measured."""
    return promote(tracker, METHOD, no_host, **given)
