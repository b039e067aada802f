"""What comes of an iteration, and of several methods."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hooktune.contract.listing import Listing, Record, Tabular
from hooktune.errors import RequestError
from hooktune.tracking import Iteration, RunRecord, StoreAddress, Tracker

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True, repr=False)
class IterationResult(Tabular):
    """What an iteration came to; as a table, its runs."""

    iteration: Iteration
    runs: Listing[RunRecord]
    """All runs of the iteration, the oldest first; those of earlier calls too."""
    best: RunRecord | None
    """The run whose model is kept; None where no run beats the starting model."""
    attempted: int
    """How many runs this call has done, failed ones too; the others had been done before."""
    _store: StoreAddress = field(repr=False)
    """The store that it is in."""

    @property
    def tracking_uri(self) -> str:
        """The address of the store that it is in, without a password."""
        return self._store.shown

    def load_model(self, device: str | None = None) -> "SentenceTransformer":
        """Load the model of the best run.

        Args:
            device: A torch device; by default the best one that there is.

        Raises:
            RequestError: No run beats the starting model, so that none has kept its model.
        """
        if self.best is None:
            raise RequestError(
                f"No run of {self.iteration.name} beats its starting model, so that there is no "
                f"better one to load. That one is the model of run {self.iteration.starting_run}."
            )
        return Tracker(self._store).load_model(self.best, device)

    def as_rows(self) -> list[dict[str, Any]]:
        """Return the values of each run."""
        return self.runs.as_rows()

    def __repr__(self) -> str:
        main = self.iteration.settings.main_metric.name
        best = "no run beats the starting model"
        if self.best is not None:
            best = f"best {self.best.run_id} with {main}={self.best.metrics.get(main, 0):.4f}"
        return f"<IterationResult {str(self.iteration.name)!r}: {len(self.runs)} runs, {best}>"


@dataclass(frozen=True, repr=False)
class MethodOutcome(Record):
    """What came of one of several methods: a result, or the error that it failed with."""

    method: str
    result: IterationResult | None
    error: Exception | None

    def as_row(self) -> dict[str, Any]:
        """Return the method with its best run, or with its error."""
        best = self.result and self.result.best
        return {
            "method": self.method,
            "runs": self.result and len(self.result.runs),
            "best_run": best and best.run_id,
            "error": self.error and str(self.error),
        }
