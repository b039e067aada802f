"""Weeks of the Default Fine Tuning Method: there is one map on top of the model."""

from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Router

from hooktune import Runner

METHOD = "Default Fine Tuning Method"
LEARN = {"learning_rate": 1e-3, "attraction": 0.3}
QUERIES, ITEMS = ["red shoes", "a bed"], ["Running shoe, red", "Bunk bed"]


def test_two_weeks_leave_one_map_that_runs_and_their_average_have(
    make_batch, store_uri: str, tiny_model_folder: Path, tmp_path: Path
):
    runner = Runner(store_uri)
    sizes = []
    for week in (0, 1):
        batch = make_batch(week, sessions=160, queries=80)
        result = runner.run(
            METHOD, batch, max_runs=2, params=LEARN, initial_model=str(tiny_model_folder)
        )
        assert result.best is not None, [run.failure for run in result.runs]
        assert any(run.average_of for run in result.runs)
        client = MlflowClient(store_uri)
        for run in result.runs:
            if not run.average_of:
                taken = client.get_metric_history(run.run_id, "query_map_step")
                steps = client.get_metric_history(run.run_id, "train_loss")
                assert [point.step for point in taken] == [len(steps) + 1]
        runner.export(result.best.run_id, tmp_path / f"model-{week}")
        model = SentenceTransformer(str(tmp_path / f"model-{week}"), device="cpu")
        assert sum(isinstance(module, Router) for module in model.modules()) == 1
        assert sum(isinstance(module, Dense) for module in model.modules()) == 1
        assert not np.allclose(model.encode_query(QUERIES), model.encode(QUERIES), atol=1e-3)
        np.testing.assert_array_equal(model.encode_document(ITEMS), model.encode(ITEMS))
        files = (tmp_path / f"model-{week}").rglob("*.safetensors")
        sizes.append(sum(file.stat().st_size for file in files))
    assert sizes[0] == sizes[1]
