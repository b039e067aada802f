"""What came of a run in figures, what speaks against it, and what it was made with."""

from hooktune import (
    Chart,
    MetricChange,
    Paragraph,
    ReportFacts,
    ReportSection,
    Table,
    interval_chart,
)

_HELD_OUT = ("test_", "holdout_")
"""What stands before a metric of sessions that were not trained on."""


def warnings_section(report: ReportFacts) -> ReportSection | None:
    """Say what to mind before the figures are believed."""
    if not report.warnings:
        return None
    parts = tuple(Paragraph(text, is_warning=True) for text in report.warnings)
    return ReportSection("What to mind", parts, order=0)


def metrics_section(report: ReportFacts) -> ReportSection:
    """Show each metric of held-out sessions before tuning and after it."""
    rows = tuple(
        (name, change.before, change.after, *_difference(change), *_described(report, name))
        for name, change in report.changes.items()
    )
    columns = ("metric", "before", "after", "change", "low", "high", "p", "better is", "meaning")
    table = Table("Metrics of sessions that were not trained on, before and after", columns, rows)
    drawn = [row[:6] for row in rows if row[3] is not None and row[4] is not None]
    text = Paragraph(
        "The change is that of the mean over queries that were not trained on. Low and high are "
        "the ends of its 95 % interval, paired over queries: where 0 lies between them, it cannot "
        "be told from chance. p is how likely so large a change would be without any difference."
    )
    if not drawn:
        return ReportSection("Before and after", (text, table), order=10)
    chart = interval_chart(
        Table("How much each metric has changed, with its 95 % interval", columns[:6], (*drawn,))
    )
    return ReportSection("Before and after", (text, chart, table), order=10)


def slices_section(report: ReportFacts) -> ReportSection | None:
    """Show for which queries the run is better, and for which it is worse."""
    if not report.slices:
        return None
    text = Paragraph(
        "Parts of the test queries, each compared with itself before tuning. p is corrected for "
        "how many parts there are: by chance one in twenty reports tells of a difference, not one "
        "in twenty parts. The head are the few queries that make up the first third of all "
        "searches, the tail are the many that make up the last."
    )
    parts: list[Paragraph | Chart | Table] = [text]
    for metric in dict.fromkeys(found.metric for found in report.slices):
        rows = tuple(
            (
                found.name, found.interval.queries, found.interval.difference, found.interval.low,
                found.interval.high, found.interval.p, found.verdict,
            )
            for found in report.slices
            if found.metric == metric
        )  # fmt: skip
        columns = ("queries", "how many", "change", "low", "high", "p", "told")
        parts.append(interval_chart(Table(f"{metric.name} by queries", columns, rows)))
    return ReportSection("For which queries", (*parts,), order=25)


def settings_section(report: ReportFacts) -> ReportSection:
    """Say what the run was made with, and what it cost."""
    run = report.run
    cost = (
        ("run", run["run_id"]),
        ("status", run["status"]),
        ("seconds from start to end", run["seconds"]),
        ("seconds of training", run.get("fit_seconds")),
        ("bytes of the model", run.get("model_bytes")),
    )
    params = tuple((name, str(value)) for name, value in report.params.items())
    tables = (
        Table("The run and its cost", ("what", "value"), cost),
        Table("Its hyper-parameters", ("name", "value"), params, is_folded=True),
    )
    told = tuple(Paragraph(text) for text in report.settings)
    return ReportSection("How it was made", (*told, *tables), order=80)


def _difference(change: MetricChange) -> tuple[float | None, ...]:
    """Return the difference, the ends of its interval, and p."""
    interval = change.interval
    if interval is not None:
        return interval.difference, interval.low, interval.high, interval.p
    known = None if change.before is None else change.after - change.before
    return known, None, None, None


def _described(report: ReportFacts, name: str) -> tuple[str | None, str | None]:
    prefix = next((known for known in _HELD_OUT if name.startswith(known)), "")
    described = report.described.get(name.removeprefix(prefix))
    if described is None:
        return None, None
    return "greater" if described.greater_is_better else "less", described.description
