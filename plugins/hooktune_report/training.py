"""How a run came to what it is: its curves, its similarities, and the iteration's other runs."""

from collections.abc import Mapping
from typing import Any, Final

from hooktune import Chart, Paragraph, ReportFacts, ReportSection, Table

_LEAST_POINTS: Final = 2


def similarities_section(report: ReportFacts) -> ReportSection | None:
    """Show how far apart clicked and other results are, before tuning and after it."""
    spread = report.similarities
    if spread is None:
        return None
    rows = [
        (model, kind, (low + high) / 2, share)
        for model, shares in (("starting model", spread.before), ("this run", spread.after))
        for kind, of_kind in shares.items()
        for low, high, share in zip(spread.edges[:-1], spread.edges[1:], of_kind, strict=True)
    ]
    table = Table(
        "Shares of results by their similarity to the query",
        ("model", "results", "similarity", "share"),
        (*rows,),
    )
    chart = Chart(
        table,
        {
            "mark": {"type": "line", "interpolate": "step", "strokeWidth": 2},
            "encoding": {
                "x": {"field": "similarity", "type": "quantitative"},
                "y": {"field": "share", "type": "quantitative"},
                "color": {"field": "results", "type": "nominal", "title": None},
                "strokeDash": {
                    "field": "model",
                    "type": "nominal",
                    "title": None,
                    "scale": {"domain": ["this run", "starting model"], "range": [[1, 0], [4, 4]]},
                },
            },
        },
    )
    text = Paragraph(
        "Tuning works where the clicked results move away from the others. Where both move alike, "
        "nothing is ranked better, however high distance shift is."
    )
    return ReportSection("Similarities of shown results", (text, chart), order=40)


def curves_section(report: ReportFacts) -> ReportSection | None:
    """Show the metrics over the steps of the run."""
    charts = [
        _curve(name, history)
        for name, history in report.histories.items()
        if len(history) >= _LEAST_POINTS
    ]
    return ReportSection("Learning curves", (*charts,), order=50) if charts else None


def _curve(name: str, history: Any) -> Chart:
    return Chart(
        Table(f"{name} over training steps", ("step", "value"), (*map(tuple, history),)),
        {
            "height": 140,
            "mark": {"type": "line", "point": True, "color": "#2f7fd1"},
            "encoding": {
                "x": {"field": "step", "type": "quantitative", "title": "step"},
                "y": {
                    "field": "value", "type": "quantitative", "title": None,
                    "scale": {"zero": False},
                },
            },
        },
    )  # fmt: skip


def runs_section(report: ReportFacts) -> ReportSection | None:
    """Show the runs of the iteration by what they differ in."""
    if len(report.runs) < _LEAST_POINTS:
        return None
    main = report.main_metric.name
    trained = _trained(report)
    names = sorted({name for run in trained for name in run if name.startswith("params.")})
    varied = [name for name in names if len({str(run.get(name)) for run in trained}) > 1]
    labels = tuple(name.removeprefix("params.") for name in varied)
    table = Table(
        "The runs of the iteration",
        ("run", "status", *labels, main),
        tuple(
            (run["run_id"], run["status"], *(run.get(name) for name in varied), run.get(main))
            for run in report.runs
        ),
    )
    drawn = [_against(name, report) for name in varied if _is_numeric(name, report)]
    return ReportSection("Runs and hyper-parameters", (table, *drawn), order=60)


def _trained(report: ReportFacts) -> list[Mapping[str, Any]]:
    """Return the runs that have hyper-parameters, as an average of runs has none."""
    return [run for run in report.runs if any(name.startswith("params.") for name in run)]


def _is_numeric(name: str, report: ReportFacts) -> bool:
    values = [run.get(name) for run in _trained(report)]
    return all(isinstance(value, int | float) for value in values)


def _against(name: str, report: ReportFacts) -> Chart:
    main, label = report.main_metric.name, name.removeprefix("params.")
    rows = [
        (run[name], run[main], "this run" if run["run_id"] == report.run["run_id"] else "another")
        for run in _trained(report)
        if run.get(main) is not None
    ]
    return Chart(
        Table(f"{main} by {label}", ("parameter", "metric", "run"), (*rows,)),
        {
            "height": 160,
            "mark": {"type": "point", "filled": True, "size": 80, "opacity": 0.9},
            "encoding": {
                "x": {
                    "field": "parameter", "type": "quantitative", "title": label,
                    "scale": {"zero": False},
                },
                "y": {
                    "field": "metric", "type": "quantitative", "title": main,
                    "scale": {"zero": False},
                },
                "color": {"field": "run", "type": "nominal", "title": None},
            },
        },
    )  # fmt: skip
