"""What an iteration is to do: settings, starting model, sets of hyper-parameters."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from tracked import METHOD, begin, do_run, finish, initial_run

from hooktune import SearchRange, hookimpl
from hooktune.contract.metric import MainMetric
from hooktune.contract.settings import IterationSettings
from hooktune.errors import RequestError
from hooktune.iteration.plan import (
    Request,
    choose_params,
    describe_params,
    find_starting_run,
    run_key,
    settle_settings,
)
from hooktune.plugin.checks import Plugin
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
def tracker(store_uri: str) -> Tracker:
    return Tracker(store_uri)


@pytest.fixture
def host() -> Host:
    return Host(Plugin(METHOD, "method", MethodWithParams()))


def asked(**settings: Any) -> Request:
    """Ask for settings, and leave the rest open."""
    return Request(settings=settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_runs": 0},
        {"settings": {"test_ratio": 0.0}},
        {"settings": {"test_ratio": 1.0}},
        {"settings": {"seed": -1}},
        {"settings": {"seed": 2**32}},
    ],
)
def test_a_request_out_of_bounds_is_refused(wrong: dict[str, Any]):
    with pytest.raises(RequestError):
        Request(**wrong)


def test_settings_are_those_asked_for_then_the_methods_then_the_defaults():
    assert settle_settings(Request(), None, None) == IterationSettings()
    assert settle_settings(Request(), LOSS, None).main_metric == LOSS
    asked = {"seed": 3, "test_ratio": 0.5, "main_metric": MainMetric(), "baseline": "recorded"}
    assert settle_settings(Request(settings=asked), LOSS, None) == IterationSettings(**asked)


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


def test_the_starting_run_is_the_last_best_one_unless_another_is_named(tracker: Tracker):
    def found(start: str | None, existing=None):
        return find_starting_run(tracker, METHOD, Request(start=start), existing)

    assert found(None) is None, "no initial model is stored yet"
    initial = initial_run(tracker)
    assert found(None) == found("initial") == found("last") == initial
    first = finish(tracker, 1, 0.1)
    best = tracker.best(first)
    assert found(None) == found("last") == found(best.run_id) == best
    assert found("initial") == initial
    with pytest.raises(RequestError, match="There is no run 'nonsense'"):
        found("nonsense")

    second = begin(tracker, 2)
    assert found(None, second) == found(best.run_id, second) == best
    with pytest.raises(RequestError, match=f"was begun from the model of run {best.run_id}"):
        found("initial", second)


def test_a_run_without_a_model_is_no_start(tracker: Tracker):
    iteration = begin(tracker)
    loser = do_run(tracker, iteration, -0.1)
    with pytest.raises(RequestError, match="has no model to start from"):
        find_starting_run(tracker, METHOD, Request(start=loser.run_id), None)


def test_another_initial_model_than_the_stored_one_is_refused(tracker: Tracker):
    initial_run(tracker)
    with pytest.raises(RequestError, match="has an initial model already"):
        find_starting_run(tracker, METHOD, Request(initial_model="some/model"), None)


def test_first_the_search_space_then_the_best_sets_of_the_last_iteration(
    tracker: Tracker, host: Host
):
    def chosen(previous=None, **asked):
        return choose_params(tracker, host, Request(**asked), 0, previous)

    first, second = chosen(max_runs=2)
    assert first == Params()
    assert second.rate != 0.5
    assert [each.steps for each in chosen(max_runs=2, params={"steps": "3"})] == [3, 3]
    with pytest.raises(RequestError, match=r"rat.*rate"):
        chosen(params={"rat": 1})

    iteration = begin(tracker)
    for value, values in ((0.2, {"rate": 0.2}), (0.3, {"rate": 0.3}), (0.9, {"rate": "?"})):
        run = tracker.start_run(iteration, "", str(value), values, {}, {})
        log = tracker.metric_log(run)
        log.add({"test_not_irrelevant_dist_shift": value}, 1)
        log.close()
        tracker.end_run(run, "FINISHED")
    previous = tracker.runs(iteration)[0]
    assert [each.rate for each in chosen(previous, max_runs=3)] == [0.3, 0.2]
    assert [each.rate for each in chosen(previous, max_runs=3, params={"rate": 0.7})] == [0.7]


def test_a_method_without_hyper_parameters_has_one_run(tracker: Tracker):
    host = Host(Plugin(METHOD, "method", Method()))
    assert choose_params(tracker, host, Request(max_runs=5), 0, None) == [None]


def test_a_run_key_follows_params_and_starting_model_alone():
    key = run_key({"a": 1, "b": 2.0}, "start")
    assert key == run_key({"b": 2.0, "a": 1}, "start")
    assert key not in (run_key({"a": 2, "b": 2.0}, "start"), run_key({"a": 1, "b": 2.0}, "other"))


def test_a_set_of_hyper_parameters_is_named_by_what_differs():
    assert describe_params(None) == describe_params(Params()) == "defaults"
    assert describe_params(Params(rate=0.25)) == "rate=0.25"


def test_a_checkpoint_is_kept_every_so_many_seconds():
    assert Request(checkpoint_every=0).checkpoint_every == 0
    for seconds in (-1.0, float("nan")):
        with pytest.raises(RequestError, match="every so many seconds"):
            Request(checkpoint_every=seconds)
