"""All methods that ran on one batch, side by side."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hooktune.contract.listing import Listing, Record, Tabular
from hooktune.contract.metric import (
    RANKING_METRIC,
    RECIPROCAL_RANK,
    SHOWN_METRICS,
    MainMetric,
)
from hooktune.contract.settings import IterationSettings, setting_text, wording
from hooktune.errors import RequestError
from hooktune.evaluation.figures import new_figure
from hooktune.evaluation.pairs import MethodPair, pairs_of_methods

if TYPE_CHECKING:
    from hooktune.tracking import Iteration, RunRecord, Tracker

_OF_THE_CHOICE: Final = {"main_metric", "guard"}
"""The settings that say which run is the best one, and not what is measured of it."""


@dataclass(frozen=True, repr=False)
class MethodOnBatch(Record):
    """One method on the batch: its iteration, and the run that stands for it."""

    iteration: "Iteration"
    run: "RunRecord | None"
    """The best run, or where none beats the starting model the best of the others; None where no
    run has finished."""

    @property
    def method(self) -> str:
        """The method's display name."""
        return self.iteration.name.method

    @property
    def improved(self) -> bool:
        """Whether the run beats the starting model, so that its model is kept."""
        return self.run is not None and self.run.run_id == self.iteration.best_run

    def as_row(self) -> dict[str, Any]:
        """Return the method with the metrics that are shown of it."""
        return {
            "method": self.method,
            "run_id": self.run and self.run.run_id,
            "improved": self.improved,
            **{name: self.metric(name) for name in self.iteration.settings.shown_metrics},
            "fit_seconds": self.metric("fit_seconds"),
            "model_bytes": self.run and self.run.model_bytes,
        }

    def metric(self, name: str) -> float | None:
        """Return a metric of the run, or None where it has none."""
        return None if self.run is None else self.run.metrics.get(name)


@dataclass(frozen=True, repr=False)
class Anchor(Record):
    """A ranking that needs no tuning."""

    name: str
    metrics: dict[str, float]
    """Those of the test sessions and the judgements that rank alone."""

    def as_row(self) -> dict[str, Any]:
        """Return its name with its metrics."""
        return {"method": self.name, **self.metrics}


@dataclass(frozen=True, repr=False)
class Comparison(Tabular):
    """All methods that ran on a batch, the best first, or by name where they do not compare."""

    batch_id: str
    methods: Listing[MethodOnBatch]
    winner: MethodOnBatch | None
    """The best method by the main metric; None where no run beats its starting model, or where the
    methods do not compare."""
    obstacles: tuple[str, ...]
    """Why the methods do not compare; empty where they do."""
    notes: tuple[str, ...]
    """What else to mind."""
    pairs: Listing[MethodPair]
    """What the test queries tell of each two methods; by ranking alone where these chose their best
    runs in different ways, and nothing where their test queries differ."""
    anchors: Listing[Anchor] = field(default_factory=Listing)
    """What can be had without tuning, where it was asked for."""

    def winner_in_words(self) -> str:
        """Say which method has won, or why none has."""
        if self.obstacles:
            return (
                "So no method is the winner. Run them with the same settings on another batch, or "
                "in another tracking store, to compare them."
            )
        if self.winner is None:
            return "No method beats its starting model on this batch."
        main = self.winner.iteration.settings.main_metric
        direction = "" if main.greater_is_better else f": {main.direction}"
        return f"{self.winner.method} is the winner, by {main.name}{direction}."

    def as_rows(self) -> list[dict[str, Any]]:
        """Return the values of each method, and of each anchor below them."""
        return [*self.methods.as_rows(), *self.anchors.as_rows()]

    def __repr__(self) -> str:
        winner = "without a winner" if self.winner is None else f"won by {self.winner.method!r}"
        return f"<Comparison of {len(self.methods)} methods on batch {self.batch_id}, {winner}>"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are shown: the main ones first."""
        settings = [method.iteration.settings for method in self.methods]
        mains = [each.main_metric.name for each in settings]
        return tuple(
            dict.fromkeys([*mains, *(name for each in settings for name in each.shown_metrics)])
        )

    @property
    def starting_metrics(self) -> dict[str, float]:
        """The shown metrics that all starting models have in common."""
        first, *others = (method.iteration.starting_metrics for method in self.methods)
        return {
            name: first[name]
            for name in self.metrics
            if name in first and all(_equal(first[name], other.get(name)) for other in others)
        }


def compare(tracker: "Tracker", batch_id: str) -> Comparison:
    """Put all methods that ran on a batch side by side.

    Args:
        tracker: The tracking store.
        batch_id: The batch.

    Raises:
        RequestError: No method has run on it.
    """
    all_iterations = tracker.iterations()
    iterations = [found for found in all_iterations if found.name.batch_id == batch_id]
    if not iterations:
        known = sorted({iteration.name.batch_id for iteration in all_iterations})
        raise RequestError(
            f"No method has run on the batch {batch_id}. "
            + (f"There are runs on: {', '.join(known)}." if known else "There are no runs yet.")
        )
    methods = [MethodOnBatch(iteration, chosen_run(tracker, iteration)) for iteration in iterations]
    methods.sort(key=lambda method: method.method)
    differing = _differing(iterations)
    obstacles = tuple(differing.values())
    winner, pairs, metrics = None, Listing[MethodPair](), [MainMetric(RANKING_METRIC)]
    if not obstacles:
        main = iterations[0].settings.main_metric
        methods.sort(key=lambda method: main.sort_key(method.metric(main.name)))
        winner = next((method for method in methods if method.improved), None)
        if _start_alike(iterations):
            metrics.insert(0, main)
    if differing.keys() <= _OF_THE_CHOICE:
        standing = {method.method: method.run for method in methods if method.run}
        pairs = pairs_of_methods(tracker, standing, list(dict.fromkeys(metrics)))
    notes = [*_notes(methods), *([] if obstacles else _notes_on_the_start(iterations))]
    return Comparison(batch_id, Listing(methods), winner, obstacles, tuple(notes), pairs)


def plot_comparison(comparison: Comparison, file: Path) -> None:
    """Draw each metric as a panel with a bar for each method, and store it as a PNG.

    A dashed line shows the starting model, where all have the same.

    Raises:
        RequestError: The file cannot be written.
    """
    names = comparison.metrics
    methods = comparison.methods[::-1]  # bars are drawn from below
    figure = new_figure(3 * len(names) + 2, 0.5 * len(methods) + 1.8)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        values = [method.metric(name) for method in methods]
        bars = panel.barh(
            range(len(methods)),
            [math.nan if value is None else value for value in values],
            color=["C0" if method == comparison.winner else "0.65" for method in methods],
        )
        texts = ["–" if value is None else f"{value:.3f}" for value in values]
        panel.bar_label(bars, texts, padding=3, fontsize="small")
        panel.margins(x=0.25)
        panel.set_title(name, fontsize="small", parse_math=False)
        if name in comparison.starting_metrics:
            panel.axvline(comparison.starting_metrics[name], color="black", linestyle="--", lw=0.8)
    labels = [
        f"{method.method} (winner)" if method == comparison.winner else method.method
        for method in methods
    ]
    panels[0].set_yticks(range(len(methods)), labels, parse_math=False)
    figure.suptitle(f"batch {comparison.batch_id}", fontsize="medium")
    try:
        figure.savefig(file, format="png")
    except OSError as error:
        reason = error.strerror or error
        raise RequestError(
            f"The plot {file} cannot be written: {reason}. Name another file."
        ) from error


def chosen_run(tracker: "Tracker", iteration: "Iteration") -> "RunRecord | None":
    """Return the run that stands for an iteration; see `MethodOnBatch.run`."""
    best = tracker.best(iteration)
    if best is not None:
        return best
    main = iteration.settings.main_metric
    finished = [run for run in tracker.runs(iteration) if run.status == "FINISHED"]
    return min(finished, key=lambda run: main.sort_key(run.metrics.get(main.name)), default=None)


def _differing(iterations: "Iterable[Iteration]") -> dict[str, str]:
    """Say how iterations differ, by setting: a metric may mean different things then."""
    found = {}
    for setting in IterationSettings.model_fields:
        methods: dict[str, list[str]] = {}
        for iteration in iterations:
            value = setting_text(getattr(iteration.settings, setting))
            methods.setdefault(value, []).append(iteration.name.method)
        if len(methods) > 1:
            listed = "; ".join(
                f"{value}: {', '.join(sorted(names))}" for value, names in sorted(methods.items())
            )
            found[setting] = f"The methods {wording(setting).differing} ({listed})."
    return found


def _notes(methods: Iterable[MethodOnBatch]) -> Iterable[str]:
    for method in methods:
        if method.run is None:
            yield f"No run of {method.method} has finished."
        elif not method.improved:
            yield f"No run of {method.method} beats its starting model, which stays."
        elif method.run.warning:
            yield f"! {method.method} {method.run.warning}."


def _start_alike(iterations: "Iterable[Iteration]") -> bool:
    first, *others = (iteration.starting_metrics for iteration in iterations)
    return all(
        _equal(first.get(name), other.get(name)) for name in SHOWN_METRICS for other in others
    )


def _notes_on_the_start(iterations: "Iterable[Iteration]") -> Iterable[str]:
    if not _start_alike(iterations):
        yield (
            "The methods started from different models. What is measured from there, the distance "
            f"shift and its gap, does not compare; {RANKING_METRIC} and {RECIPROCAL_RANK} do."
        )


def _equal(value: float | None, other: float | None) -> bool:
    if value is None or other is None:
        return value is other
    # The same model may be uploaded by each method, and measured on another day.
    return math.isclose(value, other, rel_tol=1e-4, abs_tol=1e-6)
