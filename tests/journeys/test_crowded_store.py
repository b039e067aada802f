"""Other teams' experiments, runs and models in the same store change nothing that is printed."""

import importlib.util
from pathlib import Path

import pytest
from tracked import METHOD, finish, model_folders

from hooktune.cli import main
from hooktune.tracking import Tracker
from hooktune.tracking.connection import database_file

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "crowded_store.py"
BATCH_ID = f"{1:024x}"


@pytest.fixture(scope="module")
def add_strangers():
    """Writes foreign experiments and runs into a database, as the benchmark does."""
    spec = importlib.util.spec_from_file_location("crowded_store", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.add_strangers


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_crowded_store_changes_nothing_that_is_printed(
    add_strangers, store_uri: str, capsys: pytest.CaptureFixture[str], options: list[str]
):
    tracker = Tracker(store_uri)
    finish(tracker, 1, 0.1, 0.2)

    def printed() -> list[str]:
        said = []
        for command in (["iterations"], ["runs", BATCH_ID], ["best"], ["compare", BATCH_ID]):
            with pytest.raises(SystemExit) as end:
                main(["--tracking-uri", store_uri, *command, *options])
            assert not end.value.code
            said.append(capsys.readouterr().out)
        return said

    before = printed()
    add_strangers(database_file(store_uri), 30, 200)
    assert len(tracker.client.search_experiments()) == 33
    assert printed() == before


def test_the_next_iteration_takes_no_notice_of_strangers(add_strangers, store_uri: str):
    tracker = Tracker(store_uri)
    first = finish(tracker, 1, 0.1)
    add_strangers(database_file(store_uri), 30, 200)
    second = finish(tracker, 2, 0.2)

    assert second.starting_run == first.best_run
    assert [each.name.method for each in tracker.iterations()] == [METHOD, METHOD]
    assert len(model_folders(tracker)) == 2, "the initial model and the second iteration's best"
    everywhere = [each.experiment_id for each in tracker.client.search_experiments()]
    locations = [each.artifact_location for each in tracker.client.search_logged_models(everywhere)]
    assert sum(each.startswith("file:///strangers") for each in locations) == 50, "theirs stay"
    assert len(locations) == 52
