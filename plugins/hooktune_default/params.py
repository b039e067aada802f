"""The hyper-parameters of the Default Fine Tuning Method."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hooktune import SearchChoices, TrainingParams

Confidence = Literal["constant", "position", "neighbours"]
LossName = Literal["softmax", "pairs"]


class Params(
    TrainingParams,
    defaults={"negatives_per_session": 5, "weights_kept": 0.5},
    search={"negatives_per_session": SearchChoices((3, 5, 10))},
):
    """The parameters of the training loop, of the loss, and of the map that queries are given."""

    loss: LossName = Field(
        default="softmax",
        description="What is learned. 'softmax': each query is to find what its searchers clicked, "
        "by all of its sessions, among all items of a step and among those that it showed. "
        "'pairs': in each session the clicked results are to be ranked above the others; margin, "
        "scale, the confidence of a pair and what bounds it act here alone.",
    )
    query_map: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = Field(
        default="auto",
        description="How far queries are turned by a linear map that is learned from the same "
        "clicks after training, as the Query Map Method does: 0 leaves it out, 1 is all the way. "
        "'auto' is 0.75, unless the clicks of held-out training queries, 100 of them at least, are "
        "ranked clearly better by another step or by none. It takes 30 queries with a click.",
    )
    temperature: float = Field(
        default=0.1,
        ge=0.03,
        le=10,
        description="With loss 'softmax': how large differences of similarities are that matter. "
        "A low one heeds the items nearest to a query alone.",
    )
    sessions_per_query: int = Field(
        default=2,
        ge=1,
        le=1_000_000,
        description="With loss 'softmax': of how many clicked sessions of each query the results "
        "take part; they are drawn once. What is to be found follows from all sessions anyway.",
    )
    margin: float = Field(
        default=0.1,
        ge=0,
        le=2,
        description="By how much the similarity of a clicked result is to exceed that of a not "
        "clicked one. A larger one moves pairs that are in order already. One far above the "
        "differences that there are leaves the pairs little say beside the attraction, and so "
        "raises not_irrelevant_dist_shift; it is not searched for that reason.",
    )
    scale: float = Field(
        default=3.0,
        gt=0,
        le=1000,
        description="How sharply a pair's loss turns from 1 to 0 around the margin. A large one "
        "heeds only pairs near it; a small one treats all pairs alike.",
    )
    attraction: float = Field(
        default=0.05,
        ge=0,
        le=100,
        description="The weight of the term that draws clicked results to their query. Ranking "
        "alone sees differences of similarities, and lets all of them sink. More raises "
        "not_irrelevant_dist_shift, whether or not anything is ranked better. With loss 'softmax', "
        "whose own gradient is larger, it counts three times.",
    )
    irrelevant_weight: float = Field(
        default=0.1,
        ge=0,
        le=100,
        description="The weight of the term that pushes away the results of sessions without a "
        "click; it acts only with use_irrelevant_sessions.",
    )
    confidence: Confidence = Field(
        default="position",
        description="How much a pair counts. 'position': a click further down counts more and a "
        "missing one less, as fewer people look there, so that what the search engine put first "
        "is not taken for what is best. 'neighbours': a result passed over above a click, or next "
        "to it, counts in full and one further below less. 'constant': all alike.",
    )
    examination_decay: float = Field(
        default=0.5,
        ge=0,
        le=2,
        description="With confidence 'position', where the log does not tell how likely positions "
        "are looked at: a result at position p is taken to be with probability p to the power of "
        "minus this; 0 means everywhere.",
    )
    neighbour_decay: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="With confidence 'neighbours': what each further position below the last click "
        "multiplies the confidence by; 1 counts all in full, 0 none.",
    )
    pair_min_difference: float | None = Field(
        default=None,
        ge=-2,
        le=2,
        description="A pair counts only while the similarity of its clicked result, less that of "
        "the other, is at least this: a hopeless pair may be a chance click.",
    )
    pair_max_difference: float | None = Field(
        default=None,
        ge=-2,
        le=2,
        description="A pair counts only while that difference is at most this: a pair in good "
        "order needs no more work.",
    )

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "Params":
        low, high = self.pair_min_difference, self.pair_max_difference
        if low is not None and high is not None and low > high:
            raise ValueError(f"pair_min_difference, {low}, is above pair_max_difference, {high}")
        return self
