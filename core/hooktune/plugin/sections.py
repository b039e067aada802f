"""Whether the sections that a plugin brings for a report can be shown."""

from typing import Any

from hooktune.contract.report import Chart, Paragraph, ReportSection, Table
from hooktune.plain_text import kind_of
from hooktune.plugin.descriptions import problem_of_list


def problem_of_sections(given: Any) -> str:
    """Say what keeps the result of `report_sections` from being used; empty where nothing."""
    if problem := problem_of_list(given, ReportSection):
        return problem
    for section in given:
        parts: tuple[Any, ...] = section.parts
        for part in parts:
            if not isinstance(part, Paragraph | Table | Chart):
                return f"its section {section.title!r} holds {kind_of(part)}"
            table = part.table if isinstance(part, Chart) else part
            if isinstance(table, Table) and any(
                len(row) != len(table.columns) for row in table.rows
            ):
                return f"a row of its table {table.caption!r} has not a value for each column"
    return ""
