"""The settings of an iteration, and the marks of hyper-parameters that are worth searching."""

from dataclasses import dataclass, field
from typing import Any, Literal

from hooktune.contract.metric import MainMetric

BaselineKind = Literal["starting", "recorded"]


@dataclass(frozen=True)
class MethodSettings:
    """What a method is told when it is asked for its initial model."""

    initial_model: str | None
    """The folder or hub name that the user gave, or None to leave the choice to the method."""
    seed: int
    device: str
    """A torch device such as `cpu` or `cuda:0`."""


@dataclass(frozen=True)
class IterationSettings:
    """What an iteration is about: fixed when it is created and recorded on its experiment."""

    seed: int = 0
    test_ratio: float = 0.2
    """The share of the distinct queries that are held out for testing."""
    main_metric: MainMetric = field(default_factory=MainMetric)
    baseline: BaselineKind = "starting"
    """Whose scores distance shift is measured from: the starting model's or the recorded ones."""


@dataclass(frozen=True)
class SearchRange:
    """Marks a numeric hyper-parameter as worth searching between two bounds, both included.

    Put it into the field's annotation: `Annotated[float, SearchRange(1e-6, 1e-4, log=True)]`.
    """

    low: float
    high: float
    log: bool = False
    """Draw the logarithm evenly, for a value whose order of magnitude matters."""


@dataclass(frozen=True)
class SearchChoices:
    """Marks a hyper-parameter as worth searching among a few values."""

    values: tuple[Any, ...]
