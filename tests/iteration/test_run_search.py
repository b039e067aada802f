"""Which hyper-parameters the runs of an iteration get, whatever becomes of them."""

from dataclasses import replace
from typing import Annotated

import pytest
from made_records import a_run, an_iteration
from pydantic import BaseModel, model_validator

import hooktune_search
from hooktune import Proposal, SearchChoices, SearchRange, Trial, hookimpl
from hooktune.errors import PluginError, RequestError
from hooktune.iteration.run_keys import RunKeys, json_values
from hooktune.iteration.run_search import Chosen, RunSearch
from hooktune.iteration.search import parse_params
from hooktune.plugin.checks import Plugin
from hooktune.plugin.host import Host
from hooktune.tracking import RunRecord

SHIFT = "test_not_irrelevant_dist_shift"


class Space(BaseModel):
    learning_rate: Annotated[float, SearchRange(1e-6, 1e-4, log=True)] = 2e-5
    layers: Annotated[int, SearchRange(1, 3)] = 2
    margin: float = 0.1


class Small(BaseModel):
    kind: Annotated[str, SearchChoices(("a", "b"))] = "a"


def host_of(space: type[BaseModel], *samplers: object) -> Host:
    class Method:
        @hookimpl
        def hyper_parameters(self):
            return space

        @hookimpl
        def fit_batch(self, model): ...

    extensions = [Plugin(f"search {n}", "extension", each) for n, each in enumerate(samplers)]
    return Host(Plugin("Some Method", "method", Method()), extensions)


def search_of(
    space: type[BaseModel] = Space, sampler: str = "warm", *, max_runs: int = 8, seed: int = 0,
    fixed=None, samplers=(hooktune_search,), earlier=(),
) -> RunSearch:  # fmt: skip
    host = host_of(space, *samplers)
    given = parse_params(space, fixed or {})
    keys = RunKeys.of_host(host, given)
    return RunSearch(space, given, host.samplers, sampler, max_runs, seed, keys, tuple(earlier))


def stored(chosen: Chosen, status: str = "FINISHED", value: float = 0.1) -> RunRecord:
    return replace(
        a_run(f"{chosen.number:032x}", status=status, params=json_values(chosen.params)),
        tags=dict(chosen.tags),
        metrics={SHIFT: value},
    )


def done(search: RunSearch, count: int) -> list[RunRecord]:
    """Do runs one after the other; the value of each follows from its number."""
    runs: list[RunRecord] = []
    for number in search.numbers[:count]:
        chosen = search.choose(number, runs, an_iteration())
        assert chosen is not None
        runs.append(stored(chosen, value=0.1 * (number % 3)))
    return runs


@pytest.mark.parametrize("sampler", ["warm", "random", "sobol", "tpe", "grid"])
def test_all_runs_that_are_asked_for_are_filled_with_different_sets_in_range(sampler):
    runs = done(search_of(sampler=sampler), 8)
    assert len({run.name for run in runs} | {str(run.params) for run in runs}) >= 8
    for run in runs:
        assert 1e-6 <= run.params["learning_rate"] <= 1e-4
        assert run.params["layers"] in (1, 2, 3)
        assert run.params["margin"] == 0.1
        assert run.tags["hooktune.proposed_by"]


@pytest.mark.parametrize("sampler", ["warm", "random", "sobol", "tpe"])
def test_the_defaults_come_first_with_what_the_user_fixed(sampler):
    first, second = done(search_of(sampler=sampler, fixed={"layers": "3"}), 2)
    assert first.params == json_values(Space(layers=3))
    assert second.params["layers"] == 3
    assert second.params["learning_rate"] != 2e-5


@pytest.mark.parametrize("sampler", ["warm", "tpe"])
def test_a_search_goes_on_as_if_nothing_had_happened(sampler):
    search, again = search_of(sampler=sampler), search_of(sampler=sampler)
    undisturbed = done(search, 6)
    for number in range(6):
        chosen = again.choose(number, undisturbed[:number], an_iteration())
        assert json_values(chosen.params) == undisturbed[number].params
    other = search_of(sampler=sampler, seed=1)
    assert [run.params for run in done(other, 6)] != [run.params for run in undisturbed]


def test_a_run_that_was_begun_keeps_what_it_had():
    search = search_of()
    runs = done(search, 3)
    for status in ("RUNNING", "FAILED", "KILLED"):
        left = replace(runs[1], status=status)
        chosen = search.choose(1, [runs[0], left, runs[2]], an_iteration())
        assert json_values(chosen.params) == runs[1].params
        assert chosen.tags == runs[1].tags


def test_what_others_are_at_work_on_is_not_tried_twice():
    search = search_of(Small)
    (first,) = done(search, 1)
    at_work = replace(first, status="RUNNING")
    assert search.choose(1, [at_work], an_iteration()).params == Small(kind="b")


def test_no_more_runs_than_there_are_sets():
    assert len(search_of(Small).numbers) == 2
    assert len(search_of(Small, fixed={"kind": "b"}).numbers) == 1
    assert len(search_of().numbers) == 8


def test_what_a_plan_tells_is_what_is_run_where_results_do_not_matter():
    search = search_of(sampler="sobol")
    told = [*search.preview(search.numbers, (), None)]
    assert [json_values(chosen.params) for chosen in told] == [
        run.params for run in done(search, 8)
    ]


def test_the_best_of_earlier_iterations_come_first_and_then_draws_around_them():
    earlier = [
        Trial(json_values(Space(learning_rate=rate, layers=1)), "finished", run_id=f"{rate}")
        for rate in (1.1e-5, 1.3e-5, 1.2e-5, 1.4e-5, 1.5e-5, 9e-5)
    ]
    search = search_of(earlier=earlier, max_runs=12)
    runs = done(search, 12)
    assert [run.params["learning_rate"] for run in runs[:3]] == [1.1e-5, 2e-5, 1.3e-5]
    assert runs[0].tags["hooktune.proposed_by"] == "an earlier iteration's run 1.1e-05"
    assert all(5e-6 < run.params["learning_rate"] < 4e-5 for run in runs)
    assert "around the 5 best" in runs[-1].tags["hooktune.proposed_by"]


class InOrder(BaseModel):
    low: Annotated[float, SearchRange(0, 1)] = 0.2
    high: Annotated[float, SearchRange(0, 1)] = 0.8

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "InOrder":
        if self.low > self.high:
            raise ValueError(f"low, {self.low}, is above high, {self.high}")
        return self


def test_a_set_that_a_validator_refuses_is_proposed_again():
    runs = done(search_of(InOrder, "random", max_runs=20), 20)
    assert len(runs) == 20
    assert all(run.params["low"] <= run.params["high"] for run in runs)


def test_the_reason_is_told_where_nearly_all_sets_are_refused(caplog):
    class Hopeless(InOrder):
        low: Annotated[float, SearchRange(0.9, 1)] = 0.2
        high: Annotated[float, SearchRange(0, 0.1)] = 0.8

    search = search_of(Hopeless, "random")
    (first,) = done(search, 1)
    assert search.choose(1, [first], an_iteration()) is None
    assert "no set of hyper-parameters was found for run 2" in caplog.text
    assert "is above high" in caplog.text


class Own:
    """A sampler of a plugin's own."""

    @hookimpl
    def samplers(self):
        return {"own": "the same each time"}

    @hookimpl
    def propose(self, search):
        return Proposal({"margin": 0.5}, "a whim") if search.attempt == 0 else None


def test_a_plugin_may_bring_a_sampler():
    search = search_of(sampler="own", samplers=(Own(), hooktune_search))
    (run,) = done(search, 1)
    assert (run.params["margin"], run.tags["hooktune.proposed_by"]) == (0.5, "a whim")
    assert search.choose(1, [run], an_iteration()) is None
    assert search.keys.number_of(run) == 0, "it is known, though margin is not searched"


def test_samplers_that_cannot_be_used_are_refused():
    with pytest.raises(RequestError, match="Did you mean 'random'"):
        host_of(Space, hooktune_search).samplers.check("randm")
    with pytest.raises(PluginError, match=r"Two plugins bring the sampler 'own': .*search 0"):
        host_of(Space, Own(), Own()).samplers.names()

    class Silent(Own):
        propose = None

    class Wordy(Own):
        @hookimpl
        def propose(self):
            return {"margin": 0.5}

    class Wrong(Own):
        @hookimpl
        def samplers(self):
            return ["own"]

    with pytest.raises(PluginError, match="has no hook 'propose'"):
        host_of(Space, Silent()).samplers.names()
    with pytest.raises(PluginError, match="dict, not a Proposal"):
        done(search_of(sampler="own", samplers=(Wordy(),)), 1)
    with pytest.raises(PluginError, match="list, not a dict of words"):
        host_of(Space, Wrong()).samplers.names()
