"""What comes of an iteration."""

from dataclasses import dataclass

from hooktune.tracking import Iteration, RunRecord


@dataclass(frozen=True)
class IterationResult:
    """What an iteration came to."""

    iteration: Iteration
    runs: tuple[RunRecord, ...]
    """All runs of the iteration, the oldest first; those of earlier calls too."""
    best: RunRecord | None
    """The run whose model is kept; None where no run beats the starting model."""
    attempted: int
    """How many runs this call has done; the others had been done before."""
