"""For which queries a run is better or worse: by frequency, by length, by labels such as a market.

All of it is computed from the figures that a run has kept of each query, so that runs have slices
that were done before there were any.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hooktune.contract.listing import Listing
from hooktune.contract.metric import RANKING_METRIC, MainMetric
from hooktune.contract.query_slice import QuerySlice, SliceKind
from hooktune.contract.sessions import Floats, Ints, Mask
from hooktune.evaluation.label_figures import label_parts, stored_label_figures
from hooktune.evaluation.query_figures import QueryFigures, query_figures_of
from hooktune.evaluation.statistics import holm_corrected, paired_interval
from hooktune.naming import iteration_name

if TYPE_CHECKING:
    from hooktune.tracking import RunRecord, Tracker

_PARTS: Final = 3
_FREQUENCIES: Final = {2: ("head", "tail"), 3: ("head", "torso", "tail")}


def query_slices(
    figures: QueryFigures, main: MainMetric, labelled: QueryFigures | None = None
) -> Listing[QuerySlice]:
    """Compare a run with its starting model on parts of the test queries.

    Where all queries fall into one part, it says nothing that the run's own interval does not, and
    is left out.

    Args:
        figures: Those of the run's test queries.
        main: The main metric; slices are compared by it and by ranking, as far as these are known
            of each query. For each metric `p` is corrected by Holm's procedure.
        labelled: Those of the queries in each part of each label; None where there are no labels.
    """
    parts = [
        (kind, name, part)
        for kind, divided in _divisions(figures, labelled)
        if len(divided) > 1
        for name, part in divided.items()
    ]
    found: list[QuerySlice] = []
    for metric in dict.fromkeys((main, MainMetric(RANKING_METRIC))):
        named, intervals = [], []
        for kind, name, part in parts:
            pairs = part.pairs(metric.name)
            if len(pairs.before):
                named.append((kind, name))
                intervals.append(paired_interval(pairs.before, pairs.after, pairs.sessions))
        found += [
            QuerySlice(kind, name, metric, interval)
            for (kind, name), interval in zip(named, holm_corrected(intervals), strict=True)
        ]
    return Listing(found)


def stored_slices(tracker: "Tracker", run: "RunRecord") -> Listing[QuerySlice]:
    """Compare a run with its starting model on parts of the test queries that it has kept.

    Raises:
        RequestError: It has kept none.
        HooktuneError: They cannot be read.
    """
    figures, labelled = query_figures_of(tracker, run), stored_label_figures(tracker, run)
    iteration = tracker.iteration(iteration_name(run.method, run.batch_id or ""))
    main = iteration.settings.main_metric if iteration else MainMetric()
    return query_slices(figures, main, labelled)


def slices_warning(slices: Iterable[QuerySlice]) -> str | None:
    """Say for which queries a run is worse; None where for none."""
    worse = [
        f"queries {found.name} ({found.metric.name} {found.interval})"
        for found in slices
        if found.verdict == "worse"
    ]
    return f"is worse for {', for '.join(worse)}" if worse else None


def _divisions(
    figures: QueryFigures, labelled: QueryFigures | None
) -> Iterator[tuple[SliceKind, dict[str, QueryFigures]]]:
    for kind, masks in _masks_of_queries(figures):
        yield (
            kind,
            {
                name: QueryFigures(figures.table.filter(pa.array(which)))
                for name, which in masks.items()
            },
        )
    if labelled is not None:
        for parts in label_parts(labelled).values():
            yield "label", parts


def _masks_of_queries(figures: QueryFigures) -> Iterator[tuple[SliceKind, dict[str, Mask]]]:
    searches = figures.column("sessions")
    labels = _thirds(-searches, searches)
    names = _FREQUENCIES.get(int(labels.max(initial=0)) + 1, ("whole",))
    yield (
        "frequency",
        {
            f"of the {names[label]}, {_bounds(searches[which], 'search', 'searches')}": which
            for label, which in _masks(labels)
        },
    )
    trained = figures.column("is_in_training")
    yield (
        "training",
        {
            name: which
            for name, which in (
                ("that were never seen in training", ~trained),
                ("that were seen in training in other letters", trained),
            )
            if which.any()
        },
    )
    words = np.array([len(text.split()) for text in figures.table.column("query").to_pylist()])
    yield "length", _by_size(words, "word", "words")
    results = np.rint(figures.column("results")).astype(np.int64)
    yield "results", _by_size(results, "result", "results")


def _by_size(sizes: Ints, one: str, many: str) -> dict[str, Mask]:
    labels = _thirds(sizes, np.ones(len(sizes)))
    return {f"of {_bounds(sizes[which], one, many)}": which for _, which in _masks(labels)}


def _thirds(order: Ints, weights: Floats | Ints) -> Ints:
    """Divide queries into three parts of about the same weight, in an order; equal ones together.

    Returns:
        For each query the number of its part, from 0; there may be fewer than three parts.
    """
    values, place = np.unique(order, return_inverse=True)
    of_value = np.bincount(place, weights=weights, minlength=len(values))
    # Where equal ones lie in two parts, their middle decides.
    middles = (np.cumsum(of_value) - of_value / 2) / max(float(of_value.sum()), 1.0)
    return np.unique(np.floor(middles * _PARTS)[place], return_inverse=True)[1]


def _masks(labels: Ints) -> Iterator[tuple[int, Mask]]:
    for label in np.unique(labels):
        yield int(label), labels == label


def _bounds(values: Ints, one: str, many: str) -> str:
    low, high = int(np.min(values)), int(np.max(values))
    if low == high:
        return f"{low} {one if low == 1 else many}"
    return f"{low} to {high} {many}"
