"""The hyper-parameters of the training loop.

They stand apart from the loop, since a plugin that derives its own should not import torch for it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from hooktune.contract.search_space import SearchMark, SearchRange
from hooktune.errors import did_you_mean

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class TrainingParams(BaseModel):
    """The hyper-parameters of the training loop; a method adds those of its loss in a subclass.

    A subclass may change the default of a field, and what is searched of it, and keep its type,
    bounds and description:

        class Params(TrainingParams, defaults={"epochs": 3}, search={"epochs": SearchRange(1, 5)}):
            ...

    Args:
        defaults: Other defaults, by field.
        search: What random draws are made from, by field; None to draw a field no more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(
        default=1, ge=1, le=1000, description="How often all training sessions are gone through."
    )
    mini_batch_size: int = Field(
        default=16,
        ge=1,
        le=4096,
        description="Sessions in a step. More give a steadier step and fewer of them, and need "
        "more memory.",
    )
    accumulated_mini_batches: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="The weights change after so many steps, by the mean of their gradients: like "
        "larger mini-batches that need no more memory.",
    )
    learning_rate: Annotated[float, SearchRange(1e-5, 4e-5, log=True)] = Field(
        default=2e-5,
        gt=0,
        le=1,
        description="The peak learning rate of AdamW. Too high a one ruins what the model knew.",
    )
    query_learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="The peak learning rate of an asymmetric model's query side, instead of "
        "learning_rate.",
    )
    item_learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="The peak learning rate of an asymmetric model's item side, instead of "
        "learning_rate. A low one keeps the items' embeddings near those already indexed.",
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="How strongly AdamW draws weights to zero, biases and normalisation excepted.",
    )
    warmup_ratio: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="The share of all steps in which the learning rate rises to its peak; "
        "afterwards it falls to zero.",
    )
    max_grad_norm: float = Field(
        default=1.0,
        gt=0,
        description="A gradient longer than this is shortened to it, so that no step is too large.",
    )
    frozen_layers: Annotated[int, Field(ge=0)] | Literal["half"] = Field(
        default="half",
        description="The embeddings and this many of the lowest transformer layers, or the lower "
        "'half' of them, stay as they are; with 0 everything is trained. Training gets quicker and "
        "forgets less.",
    )
    dropout: bool = Field(
        default=False,
        description="Let the model's dropout act in training. It guards against over-fitting over "
        "several epochs, slows a step down, and lowers the similarities that train_ metrics see.",
    )
    weights_kept: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="How much of the change of each weight is kept: 1 all, 0.5 half of the way "
        "back to the starting model. Less gains less on the training queries and often more on "
        "others. What is measured and kept is the model that this leaves; training itself goes on "
        "from the whole change.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="In which numbers a step multiplies matrices. 'bfloat16' takes two thirds of "
        "the time or less on accelerators and processors that have it, and gives each similarity "
        "in training an error of some thousandths. 'auto' takes it where the hardware has it and "
        "is quicker by it, and else float32. Test metrics always use float32.",
    )
    negatives_per_session: int | None = Field(
        default=None,
        ge=1,
        description="At most this many not clicked results of a session take part in a step, drawn "
        "anew each time. Few make training quick; with none given, all do.",
    )
    use_irrelevant_sessions: bool = Field(
        default=False,
        description="Learn from sessions without a click too. Otherwise a few are measured in each "
        "step and change nothing.",
    )
    evaluations_per_epoch: int = Field(
        default=2,
        ge=0,
        le=1000,
        description="How often an epoch is interrupted to measure the test sessions. The best "
        "weights so measured are kept; with 0 the last ones are.",
    )
    early_stopping_patience: int | None = Field(
        default=None,
        ge=1,
        description="Stop after this many evaluations in which the main metric did not improve; "
        "never where none is given.",
    )

    def __init_subclass__(
        cls,
        *,
        defaults: Mapping[str, Any] = _NOTHING,
        search: Mapping[str, SearchMark | None] = _NOTHING,
        **config: Any,
    ) -> None:
        """Take the arguments of a subclass; the fields are there only afterwards."""
        super().__init_subclass__(**config)

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        *,
        defaults: Mapping[str, Any] = _NOTHING,
        search: Mapping[str, SearchMark | None] = _NOTHING,
        **config: Any,
    ) -> None:
        """Change the fields of a subclass that were inherited.

        Raises:
            TypeError: There is no such field.
            pydantic.ValidationError: A default is out of its field's bounds.
        """
        super().__pydantic_init_subclass__(**config)
        for name in (*defaults, *search):
            if name not in cls.model_fields:
                raise TypeError(
                    f"{cls.__name__} has no field {name!r}. {did_you_mean(name, cls.model_fields)}"
                )
        for name, default in defaults.items():
            cls.model_fields[name].default = default
        for name, mark in search.items():
            field = cls.model_fields[name]
            field.metadata = [kept for kept in field.metadata if not isinstance(kept, SearchMark)]
            field.metadata += [] if mark is None else [mark]
        if defaults:
            cls.model_rebuild(force=True)
            cls.model_validate(dict(defaults))
