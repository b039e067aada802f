"""Whether the index must be built anew, and how much users will notice."""

from typing import Any, Final

from hooktune import Paragraph, ReportFacts, ReportSection, Table

_PREFIX: Final = "test_moved_"
_NOTHING: Final = 1e-5
"""A cosine distance that rounding alone makes."""


def movement_section(report: ReportFacts) -> ReportSection | None:
    """Tell how far items, queries and results have moved."""
    moved = {name: value for name, value in report.run.items() if name.startswith(_PREFIX)}
    if not moved:
        return None
    told = [Paragraph(text) for text in _told(moved)]
    rows = tuple(
        (name, value, described.description if described else None)
        for name, value in moved.items()
        for described in [report.described.get(name.removeprefix("test_"))]
    )
    table = Table("How far things have moved", ("metric", "value", "meaning"), rows)
    return ReportSection("What moved", (*told, table), order=35)


def _told(moved: dict[str, Any]) -> list[str]:
    said = []
    items, top = moved.get(f"{_PREFIX}items_p95"), moved.get(f"{_PREFIX}top_10")
    if items is not None and items < _NOTHING:
        said.append(
            "Items' embeddings are where the starting model has them: an index that was built with "
            "it can stay, and only queries are encoded by this model."
        )
    elif items is not None:
        said.append(
            "Items' embeddings have moved: all items must be encoded by this model, and the index "
            "built anew, before queries are."
        )
    if top is not None:
        said.append(
            f"Of the first ten results of a query, out of all items, {10 * top:.1f} on average are "
            "others than before."
        )
    return said
