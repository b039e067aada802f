"""The pictures on a run's page in MLflow: similarities and evaluations beside the start's."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from hooktune.contract.metric import shown_metrics
from hooktune.evaluation.similarities import BINS, GREATEST, LEAST, Similarities, bar_edges

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hooktune.tracking import Iteration, RunRecord, Tracker

logger = logging.getLogger(__name__)

SIMILARITIES_FILE: Final = "figures/similarities.png"
EVALUATIONS_FILE: Final = "figures/evaluations.png"

_KINDS: Final = (("clicked", "C0"), ("not clicked", "C1"))


def draw_run(
    tracker: "Tracker",
    iteration: "Iteration",
    run: "RunRecord",
    before: Similarities,
    after: Similarities,
) -> None:
    """Store the figures of a run; all that they show is in its metrics, so a failure only warns.

    Args:
        tracker: The tracking store.
        iteration: The run's iteration.
        run: A run whose metrics are stored.
        before: The similarities of the test sessions' results under the starting model.
        after: The same under the run's model.
    """
    metrics = shown_metrics(iteration.settings.main_metric.name)
    try:
        tracker.log_figure(run, draw_similarities(before, after), SIMILARITIES_FILE)
        histories = {name: tracker.metric_history(run, name) for name in metrics}
        figure = draw_evaluations(histories, iteration.starting_metrics_of(tracker.run(run.run_id)))
        tracker.log_figure(run, figure, EVALUATIONS_FILE)
    except Exception as error:
        logger.warning("the figures of run %s could not be stored: %s", run.run_id, error)


def draw_similarities(before: Similarities, after: Similarities) -> "Figure":
    """Draw how far apart clicked and other results are, before tuning and after it."""
    figure, panels = _panels(2, 2.5, sharey=True)
    bars = bar_edges(before.clicked + before.others + after.clicked + after.others)
    edges = np.linspace(LEAST, GREATEST, BINS + 1)
    titles = ("starting model", "this run")
    for panel, title, similarities in zip(panels, titles, (before, after), strict=True):
        panel.set_title(title, fontsize="medium", loc="left")
        panel.set_ylabel("share of results")
        for (kind, colour), counts in zip(
            _KINDS, (similarities.clicked, similarities.others), strict=True
        ):
            if total := counts.sum():
                mean = (counts * (edges[:-1] + edges[1:]) / 2).sum() / total
                shares = np.add.reduceat(counts, bars[:-1]) / total
                label = f"{kind}, mean {mean:.3f}"
                panel.stairs(shares, edges[bars], fill=True, alpha=0.4, color=colour)
                panel.stairs(shares, edges[bars], color=colour, label=label)
                panel.axvline(mean, color=colour, linestyle="--", linewidth=1)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(frameon=False, fontsize="small")
    panels[0].set_xlim(edges[bars[0]], edges[bars[-1]])
    panels[1].set_xlabel("similarity of a shown result to its query, test sessions")
    return figure


def draw_evaluations(
    histories: Mapping[str, Sequence[tuple[int, float]]], starting: Mapping[str, float]
) -> "Figure":
    """Draw metrics over the evaluations of a run, each beside the starting model's value.

    Args:
        histories: For each metric its steps and values.
        starting: The starting model's metrics.
    """
    figure, panels = _panels(len(histories), 2.3)
    for panel, (name, history) in zip(panels, histories.items(), strict=True):
        panel.set_title(name, fontsize="medium", loc="left", parse_math=False)
        steps, values = [step for step, _ in history], [value for _, value in history]
        panel.plot(steps, values, marker="o", markersize=4, label="this run")
        if name in starting:
            text = f"starting model, {starting[name]:.4f}"
            panel.axhline(starting[name], color="0.3", linestyle="--", linewidth=1, label=text)
        panel.legend(frameon=False, fontsize="small")
        panel.margins(y=0.2)
    panels[-1].set_xlabel("training step")
    panels[-1].locator_params(axis="x", integer=True)
    return figure


def _panels(count: int, height: float, *, sharey: bool = False) -> "tuple[Figure, Sequence[Axes]]":
    """Return a figure of panels under each other, each of so many inches."""
    # Margins that are known; to find them by drawing takes as long as the drawing.
    figure = new_figure(8, count * height, layout=None)
    margins = {
        "left": 0.1,
        "right": 0.97,
        "bottom": 0.55 / (count * height),
        "top": 1 - 0.35 / (count * height),
        "hspace": 0.25,
    }
    grid = figure.subplots(count, 1, sharex=True, sharey=sharey, squeeze=False, gridspec_kw=margins)
    return figure, list(grid[:, 0])


def new_figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> "Figure":
    """Return an empty figure of so many inches, which draws itself as a PNG."""
    # matplotlib's own objects, since pyplot keeps state and picks a screen for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout=layout)
    FigureCanvasAgg(figure)
    return figure
