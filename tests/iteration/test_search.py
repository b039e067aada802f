from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hooktune.contract.search_space import SearchChoices, SearchRange
from hooktune.errors import RequestError
from hooktune.iteration.search import describe_params, parse_params, run_name


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


def test_a_set_of_hyper_parameters_is_named_by_what_differs():
    assert describe_params(None) == describe_params(Space()) == "defaults"
    assert describe_params(Space(layers=3)) == "layers=3"
    assert run_name(Space(layers=3), None) == "layers=3", "that of a package has its version"
    assert run_name(Space(layers=3), "sha256:0a") == "layers=3 (sha256:0a)"
