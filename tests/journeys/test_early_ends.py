"""What ends a run, or a search, before its time, by the command line on a real store."""

from pathlib import Path

import pytest

from hooktune.cli import main
from hooktune.tracking import Tracker
from hooktune.tracking.search_tags import AVERAGE_TAG, PRUNED_TAG

METHOD = '''
"""Moves all similarities up at its first step of two, by as much as is asked for."""

from typing import Annotated

import torch
from pydantic import BaseModel

from hooktune import SearchChoices, hookimpl
from hooktune.testing import tiny_model


class Params(BaseModel):
    push: Annotated[float, SearchChoices((0.8, 0.6, 0.4, 0.2))] = 0.8


@hookimpl
def upload_initial_model(settings):
    return tiny_model(settings.seed)


@hookimpl
def hyper_parameters():
    return Params


@hookimpl
def fit_batch(run, model, params):
    run.expect_steps(2)
    for step in (1, 2):
        if run.should_stop():
            break
        with torch.no_grad():
            model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += params.push / step
        run.evaluate(model, step)
    return model
'''


@pytest.mark.parametrize(
    ("options", "pushes", "stopped", "told"),
    [
        pytest.param(
            ["--prune", "median"],
            [0.8, 0.6, 0.4, 0.2],
            [0.2],
            "the median of 3 runs",
            marks=pytest.mark.long,  # four whole runs
        ),
        (
            ["--patience", "1", "--main-metric", "test_not_irrelevant_dist_shift:min"],
            [0.4, 0.6],
            [],
            "1 runs in a row were not better",
        ),
        (["--budget", "0.001s"], [], [], "the budget of 0 seconds is used up"),
    ],
)
def test_a_search_ends_early(
    options, pushes, stopped, told, store_uri: str, released_batch: Path, tmp_path: Path, capsys
):
    method = tmp_path / "pushing.py"
    method.write_text(METHOD)
    with pytest.raises(SystemExit):
        main(
            [
                *("--tracking-uri", store_uri, "run", str(method), str(released_batch)),
                *("--search", "grid", "--guard", "none", *options),
            ]
        )
    assert told in " ".join(capsys.readouterr().err.split())
    tracker = Tracker(store_uri)
    runs = [
        run
        for iteration in tracker.iterations()
        for run in tracker.runs(iteration)
        if AVERAGE_TAG not in run.tags
    ]
    assert sorted(run.params["push"] for run in runs) == sorted(pushes)
    assert {run.status for run in runs} <= {"FINISHED"}
    found = {
        run.params["push"]: float(run.tags[PRUNED_TAG]) for run in runs if PRUNED_TAG in run.tags
    }
    assert found == dict.fromkeys(stopped, 0.5)
