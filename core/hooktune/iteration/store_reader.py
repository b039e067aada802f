"""What a tracking store holds, for whoever only looks: iterations, runs, models, reports."""

from pathlib import Path
from typing import TYPE_CHECKING

from hooktune.contract.listing import Listing
from hooktune.iteration.lookup import find_best, find_iteration
from hooktune.plugin.choice import PluginChoice
from hooktune.tracking import Iteration, RunRecord, Tracker

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.query_slice import QuerySlice
    from hooktune.evaluation.query_figures import QueryFigures


class StoreReader:
    """Gives what a tracking store holds of iterations; changes nothing there."""

    def __init__(self, tracker: Tracker, plugins: PluginChoice) -> None:
        self.tracker = tracker
        self._plugins = plugins

    def iterations(self, method: str | None = None) -> Listing[Iteration]:
        """Return all iterations, or those of one method, the oldest first."""
        return Listing(self.tracker.iterations(method))

    def runs(self, iteration: Iteration | str) -> Listing[RunRecord]:
        """Return the runs of an iteration, the oldest first.

        Args:
            iteration: The iteration, its whole name, or the beginning of its batch id if that is no
                other's as well.

        Raises:
            RequestError: There is no such iteration, or several.
        """
        if isinstance(iteration, str):
            iteration = find_iteration(self.tracker.iterations(), iteration)
        return Listing(self.tracker.runs(iteration))

    def best(self, method: str) -> RunRecord:
        """Return the run with a method's best model: what its next iteration starts from.

        Raises:
            RequestError: The method has no model yet.
        """
        return find_best(self.tracker, method)

    def load_model(self, run: RunRecord | str, device: str | None = None) -> "SentenceTransformer":
        """Load the model of a run.

        Args:
            run: The run, or its id.
            device: A torch device; by default the best one that there is.

        Raises:
            RequestError: There is no such run, or it has no model.
        """
        return self.tracker.load_model(self._found(run), device)

    def query_figures(self, run: RunRecord | str) -> "QueryFigures":
        """Return the metrics of each test query of a run, before tuning and after it.

        Raises:
            RequestError: There is no such run, or it has kept none, as those of earlier versions.
        """
        from hooktune.evaluation.query_figures import query_figures_of

        return query_figures_of(self.tracker, self._found(run))

    def slices(self, run: RunRecord | str) -> "Listing[QuerySlice]":
        """Return what became of parts of a run's test queries: the frequent ones, the long ones.

        Raises:
            RequestError: There is no such run, or it has kept no queries.
        """
        from hooktune.evaluation.slices import stored_slices

        return stored_slices(self.tracker, self._found(run))

    def report(self, run_or_iteration: str) -> str:
        """Return the report of a run, or of an iteration's best one, as a page of HTML.

        Raises:
            RequestError: There is no such run or iteration, or nothing to tell of it.
        """
        from hooktune.iteration.reporting import make_report

        return make_report(self.tracker, self._plugins, run_or_iteration)

    def export(self, run: RunRecord | str, to: str | Path) -> None:
        """Copy a run's model into a new folder that sentence-transformers loads, with its card.

        Args:
            run: The run, or its id.
            to: The folder to make.

        Raises:
            RequestError: There is no such run, it has no model, or the folder is not empty.
        """
        from hooktune.evaluation.model_card import write_model_card

        found, folder = self._found(run), Path(to)
        self.tracker.export_model(found, folder)
        write_model_card(self.tracker, found, folder)

    def load_champion(self, method: str, device: str | None = None) -> "SentenceTransformer":
        """Load a method's champion, to serve it.

        Args:
            method: The method's display name.
            device: A torch device; by default the best one that there is.

        Raises:
            RequestError: The method has no champion.
            UnsafeModelError: A file of it is of no kind that is known to be safe.
        """
        from hooktune.evaluation.champion import champion_of

        return champion_of(self.tracker, method, device)

    def _found(self, run: RunRecord | str) -> RunRecord:
        return self.tracker.run(run) if isinstance(run, str) else run
