"""The bundled sections of a report: what became better or worse, for which queries, and how."""

from typing import TYPE_CHECKING

from hooktune import hookimpl
from hooktune_report.movement import movement_section
from hooktune_report.queries import examples_section, queries_section
from hooktune_report.results import (
    metrics_section,
    settings_section,
    slices_section,
    warnings_section,
)
from hooktune_report.training import curves_section, runs_section, similarities_section

if TYPE_CHECKING:
    from hooktune import ReportFacts, ReportSection


@hookimpl
def report_sections(report: "ReportFacts") -> "list[ReportSection]":
    """Return the sections for which the run has kept what they show."""
    made = (
        warnings_section(report),
        metrics_section(report),
        queries_section(report),
        slices_section(report),
        examples_section(report),
        movement_section(report),
        similarities_section(report),
        curves_section(report),
        runs_section(report),
        settings_section(report),
    )
    return [section for section in made if section is not None]
