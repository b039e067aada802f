"""A run that measures nothing: what a method learns without being told how well it does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hooktune import Encoder, MainMetric

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(eq=False)
class SilentRun:
    """Stands for the run that the host gives to a method."""

    seed: int = 0
    main_metric: MainMetric = field(default_factory=MainMetric)
    encoder: "Encoder | None" = None
    """None for a method that encodes nothing by it."""
    device: str = "cpu"
    rank: int = 0
    world_size: int = 1
    logged: dict[str, float] = field(default_factory=dict)
    """The last value of each metric."""

    def expect_steps(self, count: int) -> None:
        """See `hooktune.ActiveRun`, as for all below."""

    def use_loss(self, loss: Any) -> None:
        """Take a loss, which nothing is measured by."""

    def log(self, metrics: Mapping[str, float], step: int, accumulate: Iterable[str] = ()) -> None:  # noqa: ARG002
        """Keep the last value of each metric."""
        self.logged.update(metrics)

    def log_scores(self, *_: object) -> None:
        """Measure nothing."""

    def evaluate(self, model: "SentenceTransformer", step: int) -> dict[str, float]:  # noqa: ARG002
        """Measure nothing."""
        return {}

    def checkpoint(self, *_: object) -> None:
        """Keep nothing."""

    def resumed(self) -> None:
        """Begin anew."""

    def should_stop(self) -> bool:
        """Never stop."""
        return False
