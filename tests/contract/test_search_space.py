"""What is worth searching checks itself where it is made, and is told to people."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from hooktune import SearchChoices, SearchRange
from hooktune.contract.search_space import HyperParameter, describe_hyper_parameters


class Space(BaseModel):
    rate: Annotated[float, SearchRange(1e-5, 1e-3, log=True)] = Field(
        default=1e-4, gt=0, le=1, description="How fast."
    )
    kind: Literal["a", "b"] = "a"
    limit: int | None = Field(default=None, ge=1)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"low": 5, "high": 1}, r"SearchRange\(5, 1\) has its bounds the wrong way round"),
        ({"low": 0, "high": 1, "log": True}, "draws logarithms, which 0 has none of"),
        ({"low": 0, "high": float("inf")}, "not finite"),
        ({"low": float("nan"), "high": 1}, "not finite"),
    ],
)
def test_a_range_that_nothing_can_be_drawn_from_is_refused(bounds, said):
    with pytest.raises(ValueError, match=said):
        SearchRange(**bounds)


def test_choices_hold_a_value():
    with pytest.raises(ValueError, match="no values to choose among"):
        SearchChoices(())


def test_hyper_parameters_are_described_for_people():
    assert describe_hyper_parameters(None) == []
    rate, kind, limit = describe_hyper_parameters(Space)
    assert rate == HyperParameter(
        name="rate",
        type="float",
        default=1e-4,
        bounds="above 0 and at most 1",
        search=SearchRange(1e-5, 1e-3, log=True),
        description="How fast.",
    )
    assert str(rate.search) == "SearchRange(1e-05, 0.001, log=True)"
    assert (kind.type, kind.bounds, kind.search) == ("'a' or 'b'", "", None)
    assert (limit.type, limit.default, limit.bounds) == ("int or none", None, "at least 1")
