"""What the figures of its test queries tell of a run, recorded with it."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from hooktune.contract.interval import Interval
from hooktune.contract.metric import RANKING_METRIC, MainMetric, ranking_warning
from hooktune.contract.settings import IterationSettings
from hooktune.evaluation.query_figures import QueryFigures
from hooktune.evaluation.slices import query_slices, slices_warning
from hooktune.evaluation.statistics import paired_interval
from hooktune.tracking.records import HELD_BACK_TAG, INTERVALS_TAG, WARNING_TAG, to_json


def metric_intervals(figures: QueryFigures, names: Iterable[str]) -> dict[str, Interval]:
    """Return how far metrics differ from the starting model's; those that are known by query."""
    return {
        name: paired_interval(pairs.before, pairs.after, pairs.sessions)
        for name in names
        if len((pairs := figures.pairs(name)).before)
    }


def held_back_by(guards: Iterable[MainMetric], intervals: Mapping[str, Interval]) -> str | None:
    """Say by which guards a run is worse than its starting model; None where by none."""
    worse = [
        f"{guard.name} ({interval})"
        for guard in guards
        if (interval := intervals.get(guard.name)) is not None
        and interval.verdict(greater_is_better=guard.greater_is_better) == "worse"
    ]
    return f"worse than its starting model by {', '.join(worse)}" if worse else None


def evidence_tags(
    settings: IterationSettings,
    figures: QueryFigures,
    metrics: Mapping[str, float],
    starting: Mapping[str, float],
    judged: Mapping[str, Interval] = MappingProxyType({}),
    labelled: QueryFigures | None = None,
) -> dict[str, str]:
    """Return the tags that record what a run's figures tell.

    Args:
        settings: What the iteration is about.
        figures: Those of the run's test queries.
        metrics: The run's metrics.
        starting: The starting model's.
        judged: How far the metrics of judged queries differ, where there are any.
        labelled: The figures of the queries in each part of each label, where there are labels.
    """
    guards = [guard.name for guard in settings.guard]
    names = dict.fromkeys((*settings.shown_metrics, *guards))
    intervals = {**metric_intervals(figures, names), **judged}
    held = held_back_by(settings.guard, intervals)
    warnings = [] if held is None else [f"is held back by a guard: {held}"]
    ranking = ranking_warning(metrics, starting)
    if ranking and (held is None or RANKING_METRIC not in held):
        # Else the guard says it with its interval.
        warnings.append(ranking)
    if worse := slices_warning(query_slices(figures, settings.main_metric, labelled)):
        warnings.append(worse)
    tags = {
        INTERVALS_TAG: to_json({name: found.as_json() for name, found in intervals.items()}),
        HELD_BACK_TAG: held,
        WARNING_TAG: "; ".join(warnings),
    }
    return {tag: text for tag, text in tags.items() if text}
