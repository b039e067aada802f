"""What a report is made of: facts about a run, and the sections that plugins write from them.

A section holds values, never HTML: the host writes the page, and escapes all that comes from logs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hooktune.contract.interval import Interval
from hooktune.contract.metric import MainMetric, MetricDescription
from hooktune.contract.query_slice import QuerySlice

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

_ROW_HEIGHT: Final = 34  # pixels


@dataclass(frozen=True)
class Paragraph:
    """A few sentences of plain text."""

    text: str
    is_warning: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of values under named columns."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    """Each with a value for each column; None where there is none."""
    is_folded: bool = False
    """Whether the reader sees the caption alone, and unfolds the rest."""


@dataclass(frozen=True)
class Chart:
    """A picture, and the same values as a table for those who cannot see it."""

    table: Table
    """What is drawn; the chart's fields are its columns."""
    spec: Mapping[str, Any]
    """A Vega-Lite specification without its data, which the host adds under the name `table`. Each
    field that it names is a column of the table."""


def interval_chart(table: Table) -> Chart:
    """Draw how much each of some things has changed, with its interval.

    Args:
        table: A row for each thing, which the first column names; the columns `change`, `low` and
            `high` hold the change and the ends of its interval.
    """
    low = table.columns.index("low")
    is_known = any(row[low] is not None and math.isfinite(row[low]) for row in table.rows)
    interval = {
        "mark": {"type": "rule", "strokeWidth": 2, "color": "#2f7fd1"},
        "encoding": {
            "x": {"field": "low", "type": "quantitative", "title": "change"},
            "x2": {"field": "high"},
        },
    }
    return Chart(
        table,
        {
            "height": _ROW_HEIGHT * len(table.rows),
            "encoding": {
                "y": {"field": table.columns[0], "type": "nominal", "title": None, "sort": None}
            },
            "layer": [
                {
                    "mark": {"type": "rule", "strokeDash": [4, 3], "opacity": 0.7},
                    "encoding": {"x": {"datum": 0, "type": "quantitative"}, "y": None},
                },
                # A scale of no values at all is no scale, of which the library warns.
                *([interval] if is_known else []),
                {
                    "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                    "encoding": {
                        "x": {"field": "change", "type": "quantitative", "title": "change"}
                    },
                },
            ],
        },
    )


ReportPart = Paragraph | Table | Chart


@dataclass(frozen=True)
class ReportSection:
    """A part of a report under a heading of its own."""

    title: str
    parts: tuple[ReportPart, ...]
    order: int = 100
    """Sections with a lower one come first; those that are bundled have 0 to 90."""


@dataclass(frozen=True)
class MetricChange:
    """A metric of held-out sessions before tuning and after it."""

    before: float | None
    after: float
    interval: Interval | None = None
    """The difference and how far it can be trusted; None where that is not known."""


@dataclass(frozen=True)
class ExampleResult:
    """One result that a session showed."""

    item: str
    clicked: bool
    before: float
    """Its similarity to the query under the starting model."""
    after: float


@dataclass(frozen=True)
class ExampleQuery:
    """A test query with what one of its sessions showed."""

    query: str
    before: float
    """How well its clicked results were ranked by the starting model (NDCG@10)."""
    after: float
    results: tuple[ExampleResult, ...]
    """In the order in which they were shown."""


@dataclass(frozen=True)
class SimilarityShares:
    """How the similarities of shown results to their queries are spread."""

    edges: tuple[float, ...]
    """The bounds of B bins."""
    before: Mapping[str, tuple[float, ...]]
    """For `clicked` and `not clicked` the share of results in each of the B bins, under the
    starting model."""
    after: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class ReportFacts:
    """All that a report tells of: one run, beside its starting model and the iteration's others."""

    method: str
    batch_id: str
    run: Mapping[str, Any]
    """The run, by the names that `RunRecord.as_row` gives."""
    improved: bool
    """Whether it is the run whose model is kept."""
    main_metric: MainMetric
    changes: Mapping[str, MetricChange]
    """By metrics' names in the store: those of the holdout, where it was measured, then those of
    the test sessions."""
    described: Mapping[str, MetricDescription]
    """What plugins tell of metrics, by their names without prefix."""
    settings: tuple[str, ...]
    """What the iteration is about, in words."""
    runs: Sequence[Mapping[str, Any]]
    """All runs of the iteration, as rows."""
    params: Mapping[str, Any]
    """The run's hyper-parameters."""
    histories: Mapping[str, Sequence[tuple[int, float]]]
    """For some metrics, their values at the steps of the run."""
    queries: "pd.DataFrame | None"
    """A row for each test query, as `QueryFigures` tells; None for a run that kept none."""
    slices: Sequence[QuerySlice]
    """Parts of the test queries, and what became of them; empty for a run that kept no queries."""
    examples: Sequence[ExampleQuery]
    """The queries that won most and those that lost most; empty for a run that kept none."""
    similarities: SimilarityShares | None
    warnings: tuple[str, ...]
