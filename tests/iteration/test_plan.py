"""What an iteration is to do, and that settling it only reads."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from conftest import MakeBatch
from pydantic import BaseModel
from tracked import METHOD, begin

import hooktune_search
from hooktune import SearchRange, hookimpl
from hooktune.contract.metric import LOSS_DESCRIPTION, MainMetric
from hooktune.contract.settings import IterationSettings
from hooktune.data.release import open_batch
from hooktune.errors import RequestError
from hooktune.iteration.plan import (
    make_plan,
    settle_settings,
)
from hooktune.iteration.request import Request
from hooktune.plugin.checks import Plugin
from hooktune.plugin.file import plugin_from_file
from hooktune.plugin.host import Host
from hooktune.tracking import Tracker

LOSS = MainMetric("test_loss", False)


class Params(BaseModel):
    rate: Annotated[float, SearchRange(0.1, 1.0)] = 0.5
    steps: int = 10


class Method:
    @hookimpl
    def upload_initial_model(self, settings): ...

    @hookimpl
    def fit_batch(self, model): ...


class MethodWithParams(Method):
    @hookimpl
    def hyper_parameters(self):
        return Params


@pytest.fixture
def host() -> Host:
    search = Plugin("search", "extension", hooktune_search)
    return Host(Plugin(METHOD, "method", MethodWithParams()), [search])


def asked(**settings: Any) -> Request:
    """Ask for settings, and leave the rest open."""
    return Request(settings=settings)


def test_settings_are_those_asked_for_then_the_methods_then_the_defaults():
    assert settle_settings(Request(), None, None) == IterationSettings()
    assert settle_settings(Request(), LOSS, None).main_metric == LOSS
    asked = {"seed": 3, "test_ratio": 0.5, "main_metric": MainMetric(), "baseline": "recorded"}
    assert settle_settings(Request(settings=asked), LOSS, None) == IterationSettings(**asked)


def test_a_main_metric_without_direction_has_the_described_one(tracker: Tracker):
    described = {"loss": LOSS_DESCRIPTION}
    assert (
        settle_settings(asked(main_metric="test_loss"), None, None, described).main_metric == LOSS
    )
    most = MainMetric("test_loss")
    other = settle_settings(asked(main_metric="test_loss:max"), None, None, described)
    assert other.main_metric == most
    old = begin(tracker, settings=IterationSettings(main_metric=most))
    continued = settle_settings(asked(main_metric="test_loss"), None, old, described)
    assert continued == old.settings, "begun before anything was described"
    with pytest.raises(RequestError, match="was begun with"):
        settle_settings(asked(main_metric="test_loss:min"), None, old, described)


def test_of_many_queries_some_are_kept_from_every_choice(tracker: Tracker, host: Host, make_batch):
    few, many = (
        open_batch(make_batch(queries, sessions=2 * queries, queries=queries))
        for queries in (150, 200)
    )
    assert make_plan(tracker, host, few, Request()).settings.holdout_ratio == 0
    plan = make_plan(tracker, host, many, Request())
    assert plan.settings.holdout_ratio == 0.1
    assert [len(part) for part in plan.split] == [280, 80, 40]
    assert "280 sessions are trained on, 80 tested with, 40 measured once." in str(plan)
    without = make_plan(tracker, host, many, asked(holdout_ratio=0))
    assert [len(part) for part in without.split] == [320, 80, 0]


def test_guards_without_direction_have_the_described_one(tracker: Tracker):
    described = {"loss": LOSS_DESCRIPTION}
    guards = ("test_mrr", "test_loss")
    settings = settle_settings(asked(guard=guards), None, None, described)
    assert settings.guard == (MainMetric("test_mrr"), LOSS)
    old = begin(tracker, settings=settings)
    assert settle_settings(asked(guard=guards), None, old, described) == settings
    with pytest.raises(RequestError, match="was begun with guard test_mrr:max, test_loss:min, and"):
        settle_settings(asked(guard="none"), None, old, described)


def test_an_iteration_keeps_the_settings_it_was_begun_with(tracker: Tracker):
    settings = IterationSettings(seed=3, main_metric=LOSS)
    existing = begin(tracker, settings=settings)
    assert settle_settings(Request(), MainMetric(), existing) == settings
    assert settle_settings(asked(seed=3, main_metric=LOSS), None, existing) == settings
    for other in (
        asked(seed=4),
        asked(test_ratio=0.5),
        asked(main_metric=MainMetric()),
        asked(baseline="recorded"),
    ):
        with pytest.raises(RequestError, match=r"was begun with .* is asked for now"):
            settle_settings(other, None, existing)


def test_first_the_search_space_then_what_earlier_iterations_found(
    tracker: Tracker, host: Host, make_batch: MakeBatch
):
    batch = open_batch(make_batch())

    def rates(**asked):
        plan = make_plan(tracker, host, batch, Request(**asked))
        return [chosen.params.rate for chosen in plan.preview()]

    first, second = rates(max_runs=2)
    assert first == 0.5 != second
    assert rates(max_runs=2, params={"rate": "0.7"}) == [0.7], "there is nothing to search"
    with pytest.raises(RequestError, match=r"rat.*rate"):
        rates(params={"rat": 1})
    with pytest.raises(RequestError, match=r"no search 'gird'.*Did you mean 'grid'"):
        rates(search="gird")

    iteration = begin(tracker)
    average = {"hooktune.average_of": "two runs"}
    for value, given, tags in (
        (0.2, {"rate": 0.2}, {}),
        (0.3, {"rate": 0.3, "steps": 3}, {}),
        (0.4, {"rate": 0.4}, {"hooktune.held_back": "test_mrr"}),
        (0.8, {"rate": 0.8}, average),
        (0.9, {"rate": "?"}, {}),
    ):
        run = tracker.start_run(iteration, "", str(value), given, {}, tags)
        log = tracker.metric_log(run)
        log.add({"test_not_irrelevant_dist_shift": value}, 1)
        log.close()
        tracker.end_run(run, "FINISHED")
    tracker.finish_iteration(iteration)
    assert rates(max_runs=3) == [0.3, 0.5, 0.2], "the defaults were not tried"
    assert len(rates(max_runs=9)) == 9
    assert rates(max_runs=2, params={"rate": 0.7}) == [0.7, 0.7], "one of them has other steps"


def test_a_method_without_hyper_parameters_has_one_run(tracker: Tracker, make_batch: MakeBatch):
    host = Host(Plugin(METHOD, "method", Method()))
    plan = make_plan(tracker, host, open_batch(make_batch()), Request(max_runs=5))
    assert [chosen.params for chosen in plan.preview()] == [None]


def test_without_a_sampler_only_the_defaults_are_run(
    tracker: Tracker, make_batch: MakeBatch, caplog
):
    host = Host(Plugin(METHOD, "method", MethodWithParams()))
    plan = make_plan(tracker, host, open_batch(make_batch()), Request(max_runs=5))
    assert [chosen.params for chosen in plan.preview()] == [Params()]
    assert "only the defaults are run" in caplog.text


def test_runs_of_two_versions_of_a_method_file_are_told_apart(
    tracker: Tracker, make_batch: MakeBatch, tmp_path: Path
):
    batch, file = open_batch(make_batch()), tmp_path / "my_method.py"
    keys = []
    for version in (1, 2):
        file.write_text(
            "import hooktune\n\n@hooktune.hookimpl\n"
            f"def fit_batch(model):\n    return model  # version {version}\n"
        )
        host = Host(plugin_from_file(file))
        plan = make_plan(tracker, host, batch, Request())
        assert f"to run: defaults ({host.method.version}) (the defaults)" in str(plan)
        (planned,) = plan.runs("any")
        keys.append(planned.key)
    assert keys[0] != keys[1]


def test_a_plan_says_what_will_be_done_and_makes_no_store(
    host: Host, tmp_path: Path, make_batch: MakeBatch
):
    batch = open_batch(make_batch())
    tracker = Tracker(f"sqlite:///{tmp_path / 'new.db'}")
    plan = make_plan(
        tracker, host, batch, Request(max_runs=2, params={"steps": 3}, initial_model="some/model")
    )
    first, second = (chosen.params for chosen in plan.preview())
    assert str(plan) == (
        f"iteration / {METHOD} / {batch.batch_id} is begun from an initial model, some/model.\n"
        f"{len(plan.split.train)} sessions are trained on, {len(plan.split.test)} tested with.\n"
        + "\n".join(plan.settings.in_words())
        + "\n"
        "to run: steps=3 (the defaults)\n"
        f"to run: rate={second.rate}, steps=3 (a Sobol sequence)"
    )
    assert first.steps == 3
    assert not (tmp_path / "new.db").exists(), "making a plan only reads"


def test_a_plan_continues_what_is_there(tracker: Tracker, host: Host, make_batch: MakeBatch):
    batch = open_batch(make_batch())
    iteration = begin(tracker, int(batch.batch_id, 16))
    done = tracker.start_run(iteration, "", "k", {"rate": 0.5, "steps": 10}, {}, {})
    tracker.end_run(done, "FINISHED")
    plan = make_plan(tracker, host, batch, Request(max_runs=2))
    assert (plan.existing.name, plan.starting_run.run_id) == (
        iteration.name,
        iteration.starting_run,
    )
    assert ([run.run_id for run in plan.done], plan.todo) == ([done.run_id], (1,))
    (planned,) = plan.runs(iteration.starting_run)
    assert (planned.title, planned.number) == ("run 2/2", 1)
    assert f"is continued from the model of run {iteration.starting_run}." in str(plan)


def test_what_a_store_cannot_take_is_refused_by_the_plan(
    tracker: Tracker, host: Host, make_batch: MakeBatch
):
    batch = open_batch(make_batch())
    name = f"iteration / {METHOD} / {batch.batch_id}"

    class Wordy(BaseModel):
        text: str = "word " * 2000

    wordy = MethodWithParams()
    wordy.hyper_parameters = hookimpl(lambda: Wordy)
    with pytest.raises(RequestError, match=r"The hyper-parameters take 1\d+ characters"):
        make_plan(tracker, Host(Plugin(METHOD, "method", wordy)), batch, Request())
    unranked = replace(batch.sessions, rank=np.full(batch.sessions.result_count, np.nan))
    with pytest.raises(RequestError, match="have no recorded rank score"):
        make_plan(tracker, host, replace(batch, sessions=unranked), asked(baseline="recorded"))
    foreign = tracker.client.create_experiment(name)
    with pytest.raises(RequestError, match="exists, but hooktune did not make it"):
        make_plan(tracker, host, batch, Request())
    tracker.client.delete_experiment(foreign)
    with pytest.raises(RequestError, match="was deleted, and its name is still taken"):
        make_plan(tracker, host, batch, Request())
