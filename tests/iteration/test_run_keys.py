"""Which runs have done the same work, also once the method has changed."""

import pytest
from made_records import a_run
from pydantic import BaseModel

from hooktune.iteration.run_keys import RunKeys, json_values
from hooktune.tracking import RunRecord


class Params(BaseModel):
    rate: float = 0.5
    steps: int = 10


class OneMore(Params):
    margin: float = 0.1


class OtherDefault(Params):
    steps: int = 20


class OneLess(BaseModel):
    rate: float = 0.5


def keys(space: type[BaseModel], code: str | None = None) -> RunKeys:
    return RunKeys("Some Method", code, json_values(space()))


def stored(space: type[BaseModel], version: str = "pusher 1.0", **values: float) -> RunRecord:
    tags = {"hooktune.plugin.Some Method": version}
    return a_run("1", params=json_values(space(**values)), tags=tags)


def test_a_key_follows_hyper_parameters_and_starting_model_alone():
    key = keys(Params).of_params(Params(rate=0.1), "start")
    assert key == keys(Params).of_run(stored(Params, rate=0.1), "start")
    assert key != keys(Params).of_params(Params(rate=0.2), "start")
    assert key != keys(Params).of_params(Params(rate=0.1), "other")


@pytest.mark.parametrize("values", [{}, {"rate": 0.1}])
def test_a_hyper_parameter_that_the_method_gains_leaves_its_runs_what_they_are(values):
    now = keys(OneMore)
    assert now.of_run(stored(Params, **values), "s") == now.of_params(OneMore(**values), "s")
    other = OneMore(**values, margin=0.2)
    assert now.of_run(stored(Params, **values), "s") != now.of_params(other, "s")


def test_a_default_that_has_changed_makes_other_work():
    now = keys(OtherDefault)
    assert now.of_run(stored(Params), "s") != now.of_params(OtherDefault(), "s")
    assert now.of_run(stored(Params), "s") == now.of_params(OtherDefault(steps=10), "s")


def test_a_hyper_parameter_that_is_gone_made_other_work():
    assert keys(OneLess).of_run(stored(Params), "s") != keys(OneLess).of_params(OneLess(), "s")


def test_a_method_in_a_file_is_known_by_its_code():
    old, new = keys(Params, "sha256:0a"), keys(Params, "sha256:0b")
    run = stored(Params, "/somewhere else/method.py sha256:0a")
    assert old.of_run(run, "s") == old.of_params(Params(), "s")
    assert new.of_run(run, "s") != new.of_params(Params(), "s")
    assert keys(Params).of_run(run, "s") != keys(Params).of_params(Params(), "s")
