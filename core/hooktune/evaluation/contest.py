"""What a model and the champion that it is to replace reach on the same sessions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from hooktune.contract.interval import Interval, p_in_words
from hooktune.contract.listing import Record
from hooktune.contract.metric import RANKING_METRIC, MainMetric
from hooktune.contract.sessions import Batch, Floats, Ints
from hooktune.errors import RequestError, within_sentence
from hooktune.evaluation.evaluator import Evaluator
from hooktune.evaluation.query_figures import (
    QueryFigures,
    joined,
    query_figures,
    stored_query_figures,
)
from hooktune.evaluation.statistics import paired_interval
from hooktune.naming import iteration_name
from hooktune.plugin.host import Host
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.models import champions
from hooktune.tracking.models.champions import ModelVersion
from hooktune.training.encoder import TextEncoder
from hooktune.training.scoring import score_results

Values = tuple[Floats, Floats, Ints]
"""Of each query a metric under one model and under the other, and over how many sessions."""

Requirement = Literal["better", "not-worse"]
"""What intervals have to say of a model beside the champion, for it to take over."""


@dataclass(frozen=True, repr=False)
class Contest(Record):
    """What a model and the one that it is to replace reach on the same sessions."""

    main_metric: MainMetric
    candidate: dict[str, float]
    present: dict[str, float]
    rival: str
    """What the candidate is compared with, in words."""
    sessions: str
    """What both were measured on, in words."""
    batch_id: str
    """The batch that these sessions are of."""
    default: Requirement
    """What is required where nobody asks for anything else."""
    intervals: dict[str, Interval] = field(default_factory=dict)
    """How far the candidate is from the other on the same queries, by the main metric and by its
    ranking, where they are known of each query; of runs of earlier versions they are not."""
    chosen_from: int = 1
    """Of how many runs the candidate is the best on these very sessions. The `p` of the main metric
    is corrected for it, as the best of many that changed nothing looks better than it is."""

    def as_row(self) -> dict[str, Any]:
        """Return both models' main metrics, how far they differ, and what they were compared on."""
        name = self.main_metric.name
        known = self.intervals.get(name)
        return {
            "main_metric": name,
            "candidate": self.candidate.get(name),
            "present": self.present.get(name),
            "low": known and known.low,
            "high": known and known.high,
            "p": known and known.p,
            "rival": self.rival,
            "sessions": self.sessions,
        }

    @property
    def metrics(self) -> tuple[str, ...]:
        """What the models are compared by: the main metric, and their ranking."""
        return _compared_by(self.main_metric)

    @property
    def is_better(self) -> bool:
        """Whether the interval says that the candidate is better."""
        known, main = self.intervals.get(self.main_metric.name), self.main_metric
        if known is None:
            return False
        return known.verdict(greater_is_better=main.greater_is_better) == "better"

    def objections(self, require: Requirement | None = None) -> list[str]:
        """Say what speaks against the candidate; nothing where it may take over.

        Args:
            require: What the interval of the main metric has to say of it. A ranking that is worse
                always speaks against it. Where no interval is known, the means decide.
        """
        main, ranking = self.main_metric, MainMetric(RANKING_METRIC)
        values = self.candidate.get(main.name), self.present.get(main.name)
        said = []
        if main.name in self.intervals:
            is_required = (require or self.default) == "better"
            if self._is_worse(main) or (is_required and not self.is_better):
                said.append(self._told(main))
        elif require == "better":
            said.append(
                f"that it is better than {self.rival} can't be told, as {main.name} is not known "
                "of each query; --batch DIR measures both models on a batch"
            )
        elif not main.beats(*values):
            said.append(f"it does not beat {self.rival} by {main.name} {self._values(main.name)}")
        before, value = self.present.get(RANKING_METRIC), self.candidate.get(RANKING_METRIC)
        if before is None or value is None:
            said.append(
                f"{RANKING_METRIC} is not known of both, so that their ranking can't be told"
            )
        elif RANKING_METRIC in self.intervals:
            if self._is_worse(ranking) and ranking.name != main.name:
                said.append(self._told(ranking))
        elif value != before and not ranking.beats(value, before):
            said.append(f"it ranks worse than {self.rival} {self._values(RANKING_METRIC)}")
        return said

    def _is_worse(self, metric: MainMetric) -> bool:
        verdict = self.intervals[metric.name].verdict(greater_is_better=metric.greater_is_better)
        return verdict == "worse"

    def _told(self, metric: MainMetric) -> str:
        """Say what the interval of a metric tells, as a part of a sentence."""
        known = self.intervals[metric.name]
        told = within_sentence(
            known.in_words(
                metric.name,
                greater_is_better=metric.greater_is_better,
                rival=self.rival,
            )
        )
        if self.chosen_from > 1 and metric == self.main_metric:
            chosen_from = f"corrected for the {self.chosen_from} runs it is the best of"
            told += f" (p {p_in_words(known.p)}, {chosen_from})"
        return f"{told[0].lower()}{told[1:]}"

    def _values(self, name: str) -> str:
        values = (self.candidate.get(name), self.present.get(name))
        candidate, present = ("none" if value is None else f"{value:.4f}" for value in values)
        return f"({candidate} against {present} on {self.sessions})"


def compare_with_champion(
    tracker: Tracker,
    run: RunRecord,
    champion: ModelVersion | None,
    open_host: Callable[[], Host],
    batch: Batch | None,
    device: str | None,
) -> Contest:
    """Compare a run's model with the champion: by what is stored, or measured on a batch.

    Args:
        tracker: The tracking store.
        run: The run whose model is to be promoted.
        champion: The present champion; None where there is none yet.
        open_host: Opens the plugins; called only if the models have to be measured.
        batch: Sessions to measure both on; needed where no iteration has measured both.
        device: The torch device to measure on.

    Raises:
        RequestError: There is nothing to promote, or a batch is needed.
    """
    iteration = _iteration_of(tracker, run)
    if iteration is None:
        raise RequestError(
            f"No run of {run.method!r} has beaten its initial model, so that there is nothing to "
            "promote. --force promotes the initial model."
        )
    if champion is not None and batch is not None:
        return _measured(tracker, run, champion, iteration, open_host(), batch, device)
    finished = _finished_runs(tracker, iteration)
    main, figures = iteration.settings.main_metric, stored_query_figures(tracker, run)
    if champion is None or champion.run_id == iteration.starting_run:
        present = iteration.starting_metrics_of(run)
        values = _from_start(main, figures)
    elif champion.run_id in finished:
        present = finished[champion.run_id].metrics
        before = stored_query_figures(tracker, finished[champion.run_id])
        values = _between(main, before, figures)
    else:
        raise RequestError(
            f"The champion (version {champion.number}, run {champion.run_id}) and the best model "
            f"(run {run.run_id}) were never measured on the same sessions. Give a released batch "
            "to measure both on: --batch DIR."
        )
    chosen_from = max(len(finished), 1)
    return Contest(
        main_metric=main,
        candidate=run.metrics,
        present=present,
        rival="its starting model" if champion is None else _in_words(champion),
        sessions=f"the test sessions of batch {iteration.name.batch_id}",
        batch_id=iteration.name.batch_id,
        default="not-worse" if champion is None else "better",
        intervals=contest_intervals(main, values, chosen_from),
        chosen_from=chosen_from,
    )


def contest_intervals(
    main: MainMetric, values: Mapping[str, Values], chosen_from: int
) -> dict[str, Interval]:
    """Return how far a model is from another, by each metric that is known of some queries.

    Args:
        main: The main metric, whose `p` is corrected for the number of runs by Bonferroni's rule.
        values: The metrics of each query.
        chosen_from: Of how many runs the model is the best on these queries.
    """
    return {
        name: paired_interval(*known, chosen_from=chosen_from if name == main.name else 1)
        for name, known in values.items()
        if len(known[0])
    }


def _from_start(main: MainMetric, figures: QueryFigures | None) -> dict[str, Values]:
    if figures is None:
        return {}
    return {name: figures.pairs(name)[:3] for name in _compared_by(main)}


def _between(
    main: MainMetric, before: QueryFigures | None, after: QueryFigures | None
) -> dict[str, Values]:
    if before is None or after is None:
        return {}
    return {name: joined(before, after, name) for name in _compared_by(main)}


def _measured(
    tracker: Tracker,
    run: RunRecord,
    champion: ModelVersion,
    iteration: Iteration,
    host: Host,
    batch: Batch,
    device: str | None,
) -> Contest:
    """Measure both on sessions that the method was not trained on, from the champion's scores."""
    sessions, main = batch.sessions, iteration.settings.main_metric
    trained_on = tracker.iteration(iteration_name(run.method, batch.batch_id))
    words = f"all sessions of batch {batch.batch_id}"
    if trained_on is not None:
        sessions = sessions.take(trained_on.settings.split(sessions).test)
        words = f"the test sessions of batch {batch.batch_id}"
    present_model = champions.load_version(tracker.client, champion, device)
    encoder = TextEncoder(present_model)
    present = score_results(present_model, sessions, encoder)
    baseline: Floats = present
    if iteration.settings.baseline == "recorded" and not np.isnan(sessions.rank).any():
        baseline = sessions.rank
    evaluator = Evaluator(host, sessions, baseline, encoder)
    before = evaluator.measure(present_model, present)
    candidate = tracker.load_model(run, device)
    after = evaluator.measure(candidate, evaluator.scores(candidate))
    if main.name not in after.metrics:
        raise RequestError(
            f"No plugin computes the main metric {main.name!r} on batch {batch.batch_id}, so that "
            "the models cannot be compared by it. --force promotes the model all the same."
        )
    untrained = sessions.take(np.empty(0, dtype=np.int64))
    figures = query_figures(sessions, untrained, before.per_session, after.per_session)
    # On other batches than that of its iteration it was not chosen.
    is_own = batch.batch_id == run.batch_id
    chosen_from = len(_finished_runs(tracker, iteration)) if is_own else 1
    return Contest(
        main_metric=main,
        candidate=after.metrics,
        present=before.metrics,
        rival=_in_words(champion),
        sessions=words,
        batch_id=batch.batch_id,
        default="better",
        intervals=contest_intervals(main, _from_start(main, figures), chosen_from),
        chosen_from=chosen_from,
    )


def _finished_runs(tracker: Tracker, iteration: Iteration) -> dict[str, RunRecord]:
    runs = tracker.runs(iteration)
    return {run.run_id: run for run in runs if run.status == "FINISHED"}


def _in_words(champion: ModelVersion) -> str:
    return f"champion version {champion.number}"


def _compared_by(main: MainMetric) -> tuple[str, ...]:
    return tuple(dict.fromkeys((main.name, RANKING_METRIC)))


def _iteration_of(tracker: Tracker, run: RunRecord) -> Iteration | None:
    if run.batch_id is None:
        return None
    return tracker.iteration(iteration_name(run.method, run.batch_id))
