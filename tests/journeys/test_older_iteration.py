"""An iteration of a version that kept less is read, listed, compared, promoted and gone on with."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hooktune import RequestError, Runner
from hooktune.cli import main
from hooktune.tracking.connection import database_file

METHOD = "Default Fine Tuning Method"
_SETTINGS = ("holdout_ratio", "guard", "judgements", "split_by", "batch_summary")
"""What an iteration is about, as far as it came after the first version."""
_RUN_TAGS = ("intervals", "held_back", "holdout", "warning", "note_digest")


def make_older(store_uri: str) -> None:
    """Leave of a store what the first version would have written."""
    database = database_file(store_uri)
    settings = [f"hooktune.{name}" for name in _SETTINGS]
    with closing(sqlite3.connect(database)) as connection, connection:
        for name in settings:
            connection.execute("DELETE FROM experiment_tags WHERE key = ?", [name])
            connection.execute("DELETE FROM params WHERE key = ?", [name])
        for name in _RUN_TAGS:
            connection.execute("DELETE FROM tags WHERE key = ?", [f"hooktune.{name}"])
        for table in ("metrics", "latest_metrics"):
            for newer in ("test_collection_%", "test_moved_%", "holdout_%"):
                connection.execute(f"DELETE FROM {table} WHERE key LIKE ?", [newer])
    for folder in ("evaluation", "figures", "report.html"):
        for found in database.parent.glob(f"mlruns/*/*/artifacts/{folder}"):
            shutil.rmtree(found) if found.is_dir() else found.unlink()


@pytest.fixture
def hooktune(capsys: pytest.CaptureFixture[str], store_uri: str):
    def run(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(["--tracking-uri", store_uri, *map(str, arguments)])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out

    return run


def test_an_iteration_of_an_older_version(
    hooktune, store_uri: str, make_batch, tiny_model_folder: Path, tmp_path: Path
):
    batch = make_batch()
    learn = {"learning_rate": 1e-3, "mini_batch_size": 2, "attraction": 0.3}
    options = {"params": learn, "initial_model": str(tiny_model_folder), "device": "cpu"}
    result = Runner(store_uri).run(METHOD, batch, max_runs=1, **options)
    make_older(store_uri)

    runner, iteration = Runner(store_uri), str(result.iteration.name)
    (run,) = runner.runs(iteration)
    assert (run.intervals, run.holdout, run.held_back) == ({}, None, None)
    shown = json.loads(hooktune("runs", iteration, "--json")[1])["runs"][0]
    known = shown["results"]["test_not_irrelevant_dist_shift"]
    assert known["value"] == run.metrics["test_not_irrelevant_dist_shift"]
    assert {known[name] for name in ("low", "high", "p", "queries")} == {None}
    assert hooktune("runs", iteration)[0] == 0
    assert hooktune("best")[0] == 0
    status, said = hooktune("compare", run.batch_id, "--report", tmp_path / "compared.html")
    assert status == 0
    assert f"{METHOD} is the winner" in said or "No method beats" in said
    assert "The methods" in (tmp_path / "compared.html").read_text("utf-8")
    assert "how sure that is was not kept" in runner.report(run.run_id)
    with pytest.raises(RequestError, match="kept no figures of its test queries"):
        runner.slices(run)
    runner.promote(METHOD, force=True)
    runner.export(runner.best(METHOD), tmp_path / "exported")

    other = {**options, "params": {**learn, "learning_rate": 2e-3}}
    again = runner.run(METHOD, batch, max_runs=1, **other)
    assert again.iteration.name == result.iteration.name
    old, new, *_ = again.runs  # and perhaps their average
    assert (old.run_id, old.intervals) == (run.run_id, {})
    assert "test_ndcg_at_10" in new.intervals
    assert len(runner.query_figures(new)) > 0
