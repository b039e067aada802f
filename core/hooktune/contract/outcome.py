"""What observers are told of a run, an iteration or a promotion that has come to its end."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Addresses:
    """Where to find what an observer is told of. Later versions may add members."""

    store: str
    """The tracking store, without a password."""
    model: str | None
    """Under which stock MLflow loads the model; None where none is kept."""
    page: str | None
    """The page of the run, or else of the iteration; None for a store that is no server."""


@dataclass(frozen=True)
class Outcome:
    """The arguments of `run_finished`, `iteration_finished` and `promoted`."""

    method: str
    batch_id: str | None
    run_id: str | None
    status: str
    metrics: dict[str, float]
    starting_metrics: dict[str, float]
    addresses: Addresses
