"""The report of the methods of a batch, for people who choose one."""

from collections.abc import Iterator
from typing import Any

from hooktune.contract.metric import RANKING_METRIC
from hooktune.contract.report import Chart, Paragraph, ReportSection, Table, interval_chart
from hooktune.evaluation.comparison import Comparison, MethodOnBatch
from hooktune.evaluation.report.page import render
from hooktune.progress import phase


def comparison_report(comparison: Comparison) -> str:
    """Return the report of a comparison, as one page of HTML."""
    with phase("writing the report"):
        main = comparison.metrics[0]
        pairs = [str(pair) for pair in comparison.pairs if pair.metric.name == main]
        answer = " ".join([comparison.winner_in_words(), *pairs[:1]])
        sections = sorted(_sections(comparison), key=lambda section: section.order)
        return render("Methods compared", f"Batch {comparison.batch_id}.", answer, sections)


def _sections(comparison: Comparison) -> Iterator[ReportSection]:
    if notes := [*comparison.obstacles, *comparison.notes]:
        parts = tuple(Paragraph(note.removeprefix("! "), is_warning=True) for note in notes)
        yield ReportSection("What to mind", parts, order=0)
    yield ReportSection("The methods", (_methods(comparison),), order=10)
    charts = tuple(
        chart
        for name in dict.fromkeys((comparison.metrics[0], RANKING_METRIC))
        if (chart := _changes(comparison, name)) is not None
    )
    if charts:
        text = Paragraph(
            "Each method's best run beside the model that it was tuned from, on the test queries. "
            "Where the interval holds 0, the method cannot be told from its starting model."
        )
        yield ReportSection("Against the starting model", (text, *charts), order=20)
    if comparison.pairs:
        yield ReportSection("Against each other", _pairs(comparison), order=30)
    for method in comparison.methods:
        if method.run is not None and method.run.params:
            rows = tuple((name, str(value)) for name, value in method.run.params.items())
            caption = f"{method.method}: the hyper-parameters of its best run"
            table = Table(caption, ("name", "value"), rows, is_folded=True)
            yield ReportSection(method.method, (table,), order=40)


def _methods(comparison: Comparison) -> Table:
    names = comparison.metrics
    columns = ("method", *names, "seconds of training", "bytes of the model", "run")
    start = ("starting model", *map(comparison.starting_metrics.get, names), None, None, None)
    methods = (
        (
            method.method,
            *map(method.metric, names),
            method.metric("fit_seconds"),
            method.run and method.run.model_bytes,
            method.run and method.run.run_id,
        )
        for method in comparison.methods
    )
    anchors = (
        (anchor.name, *map(anchor.metrics.get, names), None, None, None)
        for anchor in comparison.anchors
    )
    return Table("The best run of each method", columns, (start, *methods, *anchors))


def _changes(comparison: Comparison, metric: str) -> Chart | None:
    rows = tuple(_change(method, metric) for method in comparison.methods)
    known = tuple(row for row in rows if row is not None)
    columns = ("method", "queries", "change", "low", "high", "p")
    return interval_chart(Table(f"{metric} by method", columns, known)) if known else None


def _change(method: MethodOnBatch, metric: str) -> tuple[Any, ...] | None:
    interval = None if method.run is None else method.run.intervals.get(metric)
    if interval is None:
        return None
    return (
        method.method, interval.queries, interval.difference, interval.low, interval.high,
        interval.p,
    )  # fmt: skip


def _pairs(comparison: Comparison) -> tuple[Paragraph | Table, ...]:
    text = Paragraph(
        "Each two methods on the queries that both have: the second one less the first. p is "
        "corrected for the number of pairs."
    )
    columns = ("first", "second", "metric", "queries", "change", "low", "high", "p", "better")
    rows = tuple(
        (
            pair.first, pair.second, pair.metric.name, pair.interval.queries,
            pair.interval.difference, pair.interval.low, pair.interval.high, pair.interval.p,
            pair.better or "cannot be told",
        )
        for pair in comparison.pairs
    )  # fmt: skip
    return text, Table("Each two methods", columns, rows)
