"""The view of an iteration's runs in MLflow's own table."""

import dataclasses
import json

import pytest
from made_records import a_run, an_iteration
from tracked import begin, finish

from hooktune.contract.metric import MainMetric
from hooktune.contract.settings import IterationSettings
from hooktune.tracking import Tracker
from hooktune.tracking.notes import VIEW_DIGEST_TAG
from hooktune.tracking.saved_view import VIEW_TAG, saved_view


def state_of(view: str) -> dict:
    return json.loads(json.loads(view)["state"])


def test_the_main_metric_stands_first_and_decides_the_order():
    main = MainMetric("test_loss", greater_is_better=False)
    iteration = dataclasses.replace(an_iteration(), settings=IterationSettings(main_metric=main))
    runs = [a_run("aa", params={"epochs": 1, "rate": 0.1}), a_run("bb", params={"epochs": 1})]
    state = state_of(saved_view(iteration, runs))
    assert state["selectedColumns"][:3] == [
        "metrics.`test_loss`",
        "metrics.`test_dist_shift_gap`",
        "metrics.`test_ndcg_at_10`",
    ]
    assert state["selectedColumns"][-2:] == ["params.`rate`", "attributes.`Models`"]
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`test_loss`", True)


def test_a_view_that_mlflow_could_not_keep_is_left_out():
    runs = [a_run("aa", params={f"parameter {number}" * 3: 1 for number in range(99)})]
    assert saved_view(an_iteration(), runs) is None


def test_the_view_is_a_tag_of_the_iteration_and_one_that_people_changed_stays(store_uri: str):
    tracker = Tracker(store_uri)
    begun = begin(tracker)
    tags = tracker.client.get_experiment(begun.experiment_id).tags
    assert json.loads(tags[VIEW_TAG])["name"] == "Results"
    tracker.client.set_experiment_tag(begun.experiment_id, VIEW_TAG, "ours")
    done = finish(tracker, 1, 0.1)
    tags = tracker.client.get_experiment(done.experiment_id).tags
    assert tags[VIEW_TAG] == "ours"
    assert tags[VIEW_DIGEST_TAG]


@pytest.mark.parametrize("count", [1, 2])
def test_of_one_run_all_hyper_parameters_are_shown(count: int):
    runs = [a_run(str(number), params={"epochs": 1}) for number in range(count)]
    columns = state_of(saved_view(an_iteration(), runs))["selectedColumns"]
    assert ("params.`epochs`" in columns) is (count == 1)
