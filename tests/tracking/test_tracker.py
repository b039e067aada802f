"""Iterations and runs in the store, and the strangers that lie between them."""

import sqlite3
from contextlib import closing

import pytest
from tracked import METHOD, begin, do_run, finish, initial_run, start_run

from hooktune.contract.metric import MainMetric
from hooktune.contract.settings import IterationSettings
from hooktune.errors import HooktuneError, RequestError, StoreError
from hooktune.naming import IterationName
from hooktune.tracking import Tracker
from hooktune.tracking.connection import database_file
from hooktune.tracking.models.best import read_again

BATCH = "65844a671089823652b83d43"
GARBLED = [
    {"hooktune.seed": "many"},
    {"hooktune.test_ratio": ""},
    {"hooktune.main_metric": "loss:sideways"},
    {"hooktune.baseline": "imagined"},
    {"hooktune.starting_metrics": "{"},
    {"hooktune.starting_metrics": "[1]"},
    {"hooktune.starting_run": ""},
]


def test_an_iteration_is_recorded_as_it_was_created(tracker: Tracker):
    settings = IterationSettings(
        seed=7,
        test_ratio=0.25,
        main_metric=MainMetric("test_loss", False),
        baseline="recorded",
    )
    iteration = begin(tracker, settings=settings, starting_value=0.5)
    assert tracker.iterations() == [iteration]
    assert tracker.iterations("Another Method") == []
    assert tracker.iteration(iteration.name) == iteration
    assert iteration.settings == settings
    assert iteration.starting_metrics == {"test_loss": 0.5}
    assert (iteration.best_run, iteration.improved, iteration.finished_at) == (None, None, None)
    assert tracker.create_iteration(iteration.name, settings, iteration.starting_run) == iteration


def test_a_run_is_recorded_with_params_tags_and_the_batch(tracker: Tracker):
    iteration = begin(tracker)
    values = {"rate": 1e-4, "name": "ü", "choice": None, "layers": [1, 2]}
    run = tracker.start_run(iteration, "first", "k", values, {"hooktune.seed": 3}, {"own": "tag"})
    assert (run.status, run.params, run.seconds) == ("RUNNING", values, None)
    assert (run.method, run.batch_id) == (METHOD, iteration.name.batch_id)
    assert run.tags["own"] == "tag"
    stored = tracker.client.get_run(run.run_id)
    assert stored.data.params["hooktune.seed"] == "3"
    assert stored.data.params["rate"] == "0.0001"
    assert [each.dataset.digest for each in stored.inputs.dataset_inputs] == [run.batch_id]

    assert run.run_key == "k"
    run = tracker.end_run(run, "FINISHED")
    assert tracker.runs(iteration) == [run]
    assert run.seconds >= 0


def test_values_that_the_store_would_cut_are_refused(tracker: Tracker):
    iteration = begin(tracker)
    with pytest.raises(RequestError, match="hyper-parameters take"):
        tracker.start_run(iteration, "", "", {"text": "x" * 6000}, {}, {})
    with pytest.raises(RequestError, match="--block"):
        tracker.record_starting_metrics(iteration, {f"metric {n}": 0.1 for n in range(400)})
    assert tracker.runs(iteration) == []


def test_a_run_that_cannot_be_described_does_not_stay_running(tracker: Tracker):
    iteration = begin(tracker)
    with pytest.raises(Exception, match="Invalid"):
        tracker.start_run(iteration, "", "", {"not a name!": 1}, {}, {})
    assert [run.status for run in tracker.runs(iteration)] == ["FAILED"]


def test_a_run_that_is_stopped_while_it_is_described_has_not_failed(tracker: Tracker):
    class Stopping:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    iteration = begin(tracker)
    with pytest.raises(KeyboardInterrupt):
        tracker.start_run(iteration, "", "", {}, {"hooktune.seed": Stopping()}, {})
    assert [run.status for run in tracker.runs(iteration)] == ["KILLED"]


@pytest.mark.parametrize("tags", GARBLED)
def test_an_experiment_with_garbled_tags_is_passed_over(tracker: Tracker, tags: dict[str, str]):
    good, bad = begin(tracker, 1), begin(tracker, 2)
    for key, value in tags.items():
        tracker.client.set_experiment_tag(bad.experiment_id, key, value)
    assert tracker.iterations() == [good]
    assert tracker.iteration(bad.name) is None
    with pytest.raises(StoreError, match="hooktune did not make it"):
        tracker.create_iteration(bad.name, IterationSettings(), good.starting_run)
    do_run(tracker, good, 0.1)
    assert tracker.finish_iteration(good).improved


def test_strangers_change_nothing(tracker: Tracker):
    first = finish(tracker, 1, 0.1)
    name = IterationName(METHOD, BATCH)
    names = [
        "iteration / x", "iteration / a / b / c", f"iteration / {METHOD} / not-hex",
        f"Iteration / {METHOD} / {BATCH}", str(name), f"iteration / initial / {BATCH}",
    ]  # fmt: skip
    for stranger in names:
        tracker.client.create_experiment(stranger)
    assert tracker.iterations() == [first]
    assert tracker.starting_model(METHOD).run_id == first.best_run
    with pytest.raises(StoreError, match=r"hooktune did not make it.*Rename it"):
        tracker.create_iteration(name, IterationSettings(), first.starting_run)


def test_a_deleted_iteration_is_passed_over_and_its_name_is_told_to_be_taken(tracker: Tracker):
    first, second = finish(tracker, 1, 0.1), finish(tracker, 2, 0.2)
    tracker.client.delete_experiment(second.experiment_id)
    assert tracker.iterations() == [first]
    assert tracker.iteration(second.name) is None
    with pytest.raises(StoreError, match=r"was deleted, and its name is still taken.*mlflow gc"):
        tracker.create_iteration(second.name, IterationSettings(), second.starting_run)


def test_deleted_initial_models_are_told_too(tracker: Tracker):
    run = initial_run(tracker)
    tracker.client.delete_experiment(run.experiment_id)
    assert tracker.initial_run(METHOD) is None
    with pytest.raises(StoreError, match="iteration / initial was deleted"):
        initial_run(tracker)


def test_a_best_run_that_somebody_deleted_breaks_no_listing(tracker: Tracker):
    iteration = finish(tracker, 1, 0.1)
    tracker.client.delete_run(iteration.best_run)
    assert tracker.best(iteration) is None
    assert tracker.runs(iteration) == []
    with pytest.raises(RequestError, match="There is no run"):
        tracker.run(iteration.best_run)


def test_each_method_has_an_initial_model_of_its_own(tracker: Tracker):
    one, other = initial_run(tracker, "One"), initial_run(tracker, "Other")
    assert one.run_id != other.run_id
    assert one.experiment_id == other.experiment_id
    assert initial_run(tracker, "One") == one
    assert tracker.starting_model("Other") == other
    assert tracker.starting_model("Third") is None
    assert (one.name, one.batch_id, one.status) == ("initial_model", None, "FINISHED")


def test_an_experiment_that_is_deleted_during_the_work_is_no_wrong_request(tracker: Tracker):
    iteration = begin(tracker)
    tracker.client.delete_experiment(iteration.experiment_id)
    with pytest.raises(HooktuneError, match="was deleted in the meantime") as failure:
        read_again(tracker.client, iteration)
    assert not isinstance(failure.value, RequestError), "as that promises an untouched store"


def test_a_run_is_found_by_the_beginning_of_its_id(tracker: Tracker):
    initial = initial_run(tracker)
    run = do_run(tracker, begin(tracker), 0.1)
    stranger = tracker.client.create_run(tracker.client.create_experiment("other"))
    assert tracker.run(run.run_id[:6]) == tracker.run(run.run_id)
    assert tracker.run(initial.run_id[:8]).run_id == initial.run_id
    for unknown in ("", run.run_id[:3], "zzzz", "%%%%", stranger.info.run_id[:12], "0" * 32):
        with pytest.raises(RequestError, match="There is no run"):
            tracker.run(unknown)


def test_a_beginning_of_several_ids_names_them(tracker: Tracker):
    iteration = begin(tracker)
    ids = ["abcd" + "0" * 28, "abcd" + "1" * 28]
    with closing(sqlite3.connect(database_file(tracker.tracking_uri))) as database, database:
        for run_id, key in zip(ids, "ab", strict=True):
            made = start_run(tracker, iteration, None, key)
            for table in ("runs", "tags", "params"):
                database.execute(
                    f"UPDATE {table} SET run_uuid = ? WHERE run_uuid = ?", (run_id, made.run_id)
                )
            database.commit()
    with pytest.raises(RequestError, match=f"{ids[0]}.*{ids[1]}"):
        tracker.run("abcd")
    assert tracker.run("abcd1").run_id == ids[1]
