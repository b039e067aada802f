"""The hyper-parameters of the Query Map Method."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Params(BaseModel):
    """How far the map may go.

    None of them is searched: among maps the main metric prefers whichever goes furthest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    step: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = Field(
        default="auto",
        description="How far to go from the map that the model has, or from none, to the one that "
        "was learned: 1 is all the way. 'auto' is 0.75, unless the clicks of held-out training "
        "queries, 100 of them at least, are ranked clearly better by another step or by none.",
    )
    l2: float = Field(
        default=0.03,
        ge=0,
        le=100,
        description="How strongly the map is held near the identity. It is at least 5 divided by "
        "the number of training queries with a click, as few queries say little of others.",
    )
    attraction: float = Field(
        default=1.0,
        ge=0,
        le=1000,
        description="How strongly queries are drawn to what was clicked for them, beside finding "
        "it among all items. More raises not_irrelevant_dist_shift and lowers dist_shift_gap.",
    )
    epochs: int = Field(
        default=80,
        ge=1,
        le=1000,
        description="How often the training queries are gone through, in 300 steps of 64 queries "
        "at most.",
    )
    min_queries: int = Field(
        default=30,
        ge=1,
        le=1_000_000,
        description="Under so many training queries with a click the starting model is kept, "
        "unless a map ranks the clicks of held-out ones clearly better.",
    )
