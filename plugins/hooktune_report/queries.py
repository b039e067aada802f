"""Which queries won and which lost, and what their users saw."""

from typing import Final

import numpy as np

from hooktune import Chart, ExampleQuery, Paragraph, ReportFacts, ReportSection, Table

_RANKING: Final = "test_ndcg_at_10"
_BINS: Final = 20
_SAME: Final = 1e-9


def queries_section(report: ReportFacts) -> ReportSection | None:
    """Count the queries whose clicked results are ranked better and those ranked worse."""
    if report.queries is None or f"{_RANKING}.before" not in report.queries:
        return None
    queries = report.queries
    changes = (queries[f"{_RANKING}.after"] - queries[f"{_RANKING}.before"]).dropna().to_numpy()
    if not len(changes):
        return None
    better, worse = int((changes > _SAME).sum()), int((changes < -_SAME).sum())
    summary = Paragraph(
        f"Of {len(changes)} test queries with a click, {better} rank their clicked results better "
        f"than before, {worse} worse, and {len(changes) - better - worse} as before (NDCG@10)."
    )
    moved = changes[np.abs(changes) > _SAME]
    if not len(moved):
        return ReportSection("Queries", (summary,), order=20)
    bound = float(np.abs(moved).max())
    counts, edges = np.histogram(moved, bins=_BINS, range=(-bound, bound))
    rows = tuple(
        (float(low), float(high), int(count))
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )
    table = Table(
        "By how much NDCG@10 of the queries that moved has changed", ("from", "to", "queries"), rows
    )
    chart = Chart(
        table,
        {
            "mark": {"type": "bar", "color": "#2f7fd1"},
            "encoding": {
                "x": {"field": "from", "bin": "binned", "title": "change of NDCG@10"},
                "x2": {"field": "to"},
                "y": {"field": "queries", "type": "quantitative", "title": "queries"},
            },
        },
    )
    return ReportSection("Queries", (summary, chart), order=20)


def examples_section(report: ReportFacts) -> ReportSection | None:
    """Show what the queries that won and lost most look like."""
    if not report.examples:
        return None
    won = [query for query in report.examples if query.after > query.before]
    lost = [query for query in report.examples if query.after < query.before]
    parts: list[Paragraph | Table] = []
    for title, queries in (("Won most", won), ("Lost most", lost)):
        if queries:
            parts += [Paragraph(f"{title}:"), *map(_results, queries)]
    return ReportSection("Queries that won and lost most", (*parts,), order=30)


def _results(query: ExampleQuery) -> Table:
    before = _ranks([result.before for result in query.results])
    after = _ranks([result.after for result in query.results])
    rows = [
        (new, old, "clicked" if result.clicked else None, result.item)
        for result, old, new in zip(query.results, before, after, strict=True)
    ]
    caption = f"{query.query} (NDCG@10 {query.before:.3f} before, {query.after:.3f} after)"
    columns = ("rank after", "rank before", "click", "item")
    return Table(caption, columns, (*sorted(rows),), is_folded=True)


def _ranks(similarities: list[float]) -> list[int]:
    """Return the rank of each among them, 1 for the greatest."""
    order = sorted(range(len(similarities)), key=lambda place: -similarities[place])
    ranks = [0] * len(similarities)
    for rank, place in enumerate(order, start=1):
        ranks[place] = rank
    return ranks
