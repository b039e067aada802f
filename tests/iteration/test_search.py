from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hooktune.contract.search_space import SearchChoices, SearchRange
from hooktune.errors import RequestError
from hooktune.iteration.search import first_params, parse_params


class Space(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    learning_rate: Annotated[float, SearchRange(1e-6, 1e-4, log=True)] = Field(
        default=2e-5, gt=0, le=1
    )
    layers: Annotated[int, SearchRange(1, 3)] = 2
    kind: Annotated[Literal["a", "b"], SearchChoices(("a", "b"))] = "a"
    level: Literal[1, 2] = 1
    limit: float | None = None
    sizes: tuple[int, ...] = ()
    on: bool = False

    @model_validator(mode="after")
    def _small_layers_need_a_limit(self) -> "Space":
        if self.level == 2 and self.limit is None:
            raise ValueError("level 2 needs a limit")
        return self


class Small(BaseModel):
    kind: Annotated[str, SearchChoices(("a", "b"))] = "a"


def test_the_defaults_come_first_with_what_the_user_fixed():
    first, second = first_params(Space, 2, seed=0, fixed={"on": True})
    assert first == Space(on=True)
    assert second.on


def test_draws_follow_the_seed_and_a_longer_list_begins_with_the_shorter():
    long = first_params(Space, 8, seed=3, fixed={})
    assert long[:3] == first_params(Space, 3, seed=3, fixed={})
    assert long != first_params(Space, 8, seed=4, fixed={})


def test_draws_stay_in_range_read_well_and_differ():
    drawn = first_params(Space, 30, seed=1, fixed={})
    assert len({params.model_dump_json() for params in drawn}) == 30
    for params in drawn:
        assert 1e-6 <= params.learning_rate <= 1e-4
        assert params.learning_rate == float(f"{params.learning_rate:.3g}")
        assert params.layers in (1, 2, 3)
    below = sum(params.learning_rate < 1e-5 for params in drawn)
    assert 8 < below < 22  # the logarithm is drawn evenly


def test_a_fixed_parameter_is_not_searched():
    assert {params.layers for params in first_params(Space, 10, 0, {"layers": 3})} == {3}


def test_fewer_sets_when_there_are_no_more():
    assert {params.kind for params in first_params(Small, 10, 0, {})} == {"a", "b"}
    assert len(first_params(Small, 10, 0, {"kind": "b"})) == 1


class InOrder(BaseModel):
    low: Annotated[float, SearchRange(0, 1)] = 0.2
    high: Annotated[float, SearchRange(0, 1)] = 0.8

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "InOrder":
        if self.low > self.high:
            raise ValueError(f"low, {self.low}, is above high, {self.high}")
        return self


def test_a_draw_that_a_validator_refuses_is_made_again():
    drawn = first_params(InOrder, 20, seed=0, fixed={})
    assert len(drawn) == 20
    assert all(params.low <= params.high for params in drawn)
    assert drawn[:5] == first_params(InOrder, 5, seed=0, fixed={})


def test_the_reason_is_told_where_nearly_all_draws_are_refused(caplog):
    class Hopeless(InOrder):
        low: Annotated[float, SearchRange(0.9, 1)] = 0.2
        high: Annotated[float, SearchRange(0, 0.1)] = 0.8

    assert first_params(Hopeless, 3, seed=0, fixed={}) == [Hopeless()]
    assert "only 1 of 3 sets" in caplog.text
    assert "is above high" in caplog.text


def test_texts_are_read_as_the_type_of_their_field():
    given = {
        "learning_rate": "1e-5", "layers": "3", "kind": "b", "level": "2", "limit": "0.5",
        "sizes": "[1, 2]", "on": "true",
    }  # fmt: skip
    parsed = {
        "learning_rate": 1e-5, "layers": 3, "kind": "b", "level": 2, "limit": 0.5,
        "sizes": (1, 2), "on": True,
    }  # fmt: skip
    assert parse_params(Space, given) == parsed
    assert parse_params(Space, parsed) == parsed
    assert parse_params(Space, {"limit": "none"}) == {"limit": None}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learning_rte": "1"}, "Did you mean 'learning_rate'"),
        ({"learning_rate": "fast"}, "learning_rate cannot be 'fast'"),
        ({"learning_rate": "0"}, "above 0 and at most 1"),
        ({"learning_rate": "nan"}, "finite"),
        ({"layers": "1.5"}, "layers cannot be '1.5'"),
        ({"kind": "c"}, "'a' or 'b'"),
        ({"on": None}, "on cannot be None"),
        ({"level": "2"}, "level 2 needs a limit"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(given, said):
    with pytest.raises(RequestError, match=said):
        parse_params(Space, given)


def test_a_method_without_parameters_takes_none():
    assert parse_params(None, {}) == {}
    with pytest.raises(RequestError, match="'epochs'"):
        parse_params(None, {"epochs": "1"})
