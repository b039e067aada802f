"""What is deleted in MLflow's pages while hooktune is at work on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import ViewType
from pydantic import BaseModel, ConfigDict

from hooktune import HooktuneError, IterationResult, Runner, SearchRange, hookimpl
from hooktune.testing import tiny_model
from hooktune.tracking import Tracker

METHOD = "Watched"
Meanwhile = Callable[[MlflowClient, str], None]


class Params(BaseModel):
    model_config = ConfigDict(frozen=True)

    lift: Annotated[float, SearchRange(0.2, 0.9)] = 0.1


class Watched:
    """A method in whose first run somebody is at work in MLflow's pages, on its experiment."""

    NAME = METHOD

    def __init__(self, uri: str, meanwhile: Meanwhile) -> None:
        self._uri = uri
        self._meanwhile = [meanwhile]

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def hyper_parameters(self):
        return Params

    @hookimpl
    def fit_batch(self, run, model, batch, params):
        with torch.no_grad():
            model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += params.lift
        if self._meanwhile:
            (iteration,) = Tracker(self._uri).iterations(METHOD)
            self._meanwhile.pop()(MlflowClient(self._uri), iteration.experiment_id)
        run.log({"train_loss": 0.5}, 1)
        return model


@pytest.fixture
def iterate(store_uri: str, released_batch: Path) -> Callable[..., IterationResult]:
    """Does an iteration while somebody does something in MLflow's pages."""

    def do(meanwhile: Meanwhile = lambda client, experiment_id: None, runs: int = 2):
        runner = Runner(store_uri, plugins=[Watched(store_uri, meanwhile)])
        return runner.run(METHOD, released_batch, max_runs=runs, device="cpu")

    return do


def statuses(result: IterationResult) -> list[str]:
    """How the runs ended that were trained; some of them may have an average."""
    return [run.status for run in result.runs if not run.average_of]


def delete_runs(client: MlflowClient, experiment_id: str) -> None:
    for run in client.search_runs([experiment_id]):
        client.delete_run(run.info.run_id)


def delete_models(client: MlflowClient, experiment_id: str) -> None:
    for model in client.search_logged_models([experiment_id]):
        client.delete_logged_model(model.model_id)


def delete_experiment(client: MlflowClient, experiment_id: str) -> None:
    client.delete_experiment(experiment_id)


def test_the_deletion_of_a_run_concerns_that_run_alone(iterate, caplog):
    result = iterate(delete_runs)
    assert "was deleted in MLflow while it was at work" in caplog.text
    assert [run.status for run in result.runs] == ["FINISHED"]
    assert result.best is not None
    again = iterate()
    assert statuses(again) == ["FINISHED", "FINISHED"]
    assert again.attempted == len(again.runs) - 1


def test_the_deletion_of_an_experiment_ends_in_words_and_can_be_taken_back(iterate, store_uri: str):
    with pytest.raises(HooktuneError, match="Restore it by `mlflow experiments restore`"):
        iterate(delete_experiment)
    client = MlflowClient(store_uri)
    (deleted,) = client.search_experiments(view_type=ViewType.DELETED_ONLY)
    client.restore_experiment(deleted.experiment_id)
    result = iterate()
    assert [status for status in statuses(result) if status != "FAILED"] == ["FINISHED"] * 2


def test_the_deletion_of_the_best_model_leaves_the_iteration_whole(iterate):
    iterate(runs=1)
    result = iterate(delete_models, runs=3)
    assert {run.status for run in result.runs} == {"FINISHED"}
