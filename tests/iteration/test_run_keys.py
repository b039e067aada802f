"""Which runs have done the same work, also once the method has changed."""

from dataclasses import replace

from made_records import a_run
from pydantic import BaseModel

from hooktune.iteration.run_keys import RunKeys, json_values
from hooktune.tracking import RunRecord
from hooktune.tracking.search_tags import search_tags


class Params(BaseModel):
    rate: float = 0.5
    steps: int = 10


class OneMore(Params):
    margin: float = 0.1


class OtherDefault(Params):
    steps: int = 20


class OneLess(BaseModel):
    rate: float = 0.5


def keys(space: type[BaseModel], code: str | None = None, **fixed: float) -> RunKeys:
    marked = frozenset({"rate"} & space.model_fields.keys())
    return RunKeys("Some Method", code, json_values(space()), marked, fixed)


def stored(
    space: type[BaseModel], version: str = "pusher 1.0", number: int | None = 0, **values: float
) -> RunRecord:
    """A run whose rate was searched, unless its number is None, as of an earlier version."""
    tags = {"hooktune.plugin.Some Method": version}
    if number is not None:
        tags |= search_tags(number, ("rate",), "a draw")
    return a_run("1", params=json_values(space(**values)), tags=tags)


def test_a_key_follows_the_number_what_is_fixed_and_the_starting_model():
    key = keys(Params).of_number(0, "start")
    assert key == keys(Params).of_run(stored(Params, rate=0.1), "start")
    assert key == keys(Params).of_run(stored(Params, rate=0.2), "start"), "whatever was chosen"
    assert key == keys(Params, steps=10).of_number(0, "start"), "that is its default"
    others = (
        keys(Params).of_number(1, "start"),
        keys(Params, steps=5).of_number(0, "start"),
        keys(Params, rate=0.5).of_number(0, "start"),
        keys(Params).of_number(0, "other"),
    )
    assert len({key, *others}) == 5


def test_a_hyper_parameter_that_the_method_gains_leaves_its_runs_what_they_are():
    assert keys(OneMore).of_run(stored(Params), "s") == keys(OneMore).of_number(0, "s")
    assert keys(OneMore).of_run(stored(Params), "s") != keys(OneMore, margin=0.2).of_number(0, "s")


def test_a_default_that_has_changed_makes_other_work():
    now = keys(OtherDefault)
    assert now.of_run(stored(Params), "s") != now.of_number(0, "s")
    assert now.of_run(stored(Params), "s") == keys(OtherDefault, steps=10).of_number(0, "s")


def test_a_hyper_parameter_that_is_gone_made_other_work():
    assert keys(OneLess).of_run(stored(Params), "s") != keys(OneLess).of_number(0, "s")


def test_a_method_in_a_file_is_known_by_its_code():
    old, new = keys(Params, "sha256:0a"), keys(Params, "sha256:0b")
    run = stored(Params, "/somewhere else/method.py sha256:0a")
    assert old.of_run(run, "s") == old.of_number(0, "s")
    assert new.of_run(run, "s") != new.of_number(0, "s")
    assert keys(Params).of_run(run, "s") != keys(Params).of_number(0, "s")


def test_runs_of_earlier_versions_are_the_first_ones_of_a_search_that_could_have_made_them():
    old = [
        replace(stored(Params, number=None, **values), run_id=str(place), started_at=place)
        for place, values in enumerate([{"rate": 0.1}, {"steps": 5}, {"rate": 0.2}])
    ]
    now = keys(Params).adopting(old)
    assert [now.number_of(run) for run in old] == [0, None, 1]
    assert now.of_run(old[2], "s") == now.of_number(1, "s")
    assert [keys(Params, steps=5).adopting(old).number_of(run) for run in old] == [None, 0, None]
    assert keys(OneMore).adopting(old).number_of(old[0]) == 0
    assert keys(OtherDefault).adopting(old).number_of(old[0]) is None
    failed = [replace(run, status="FAILED") for run in old]
    assert keys(Params).adopting(failed).number_of(failed[0]) is None
    average = replace(old[0], tags=old[0].tags | {"hooktune.average_of": "all"})
    assert keys(Params).adopting([average]).number_of(average) is None
