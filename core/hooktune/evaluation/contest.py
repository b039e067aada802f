"""What a model and the champion that it is to replace reach on the same sessions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hooktune.contract.listing import Record
from hooktune.contract.metric import RANKING_METRIC, MainMetric
from hooktune.contract.sessions import Batch, Floats
from hooktune.errors import RequestError
from hooktune.evaluation.evaluator import Evaluator
from hooktune.naming import iteration_name
from hooktune.plugin.host import Host
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.models import champions
from hooktune.tracking.models.champions import ModelVersion
from hooktune.training.encoder import TextEncoder
from hooktune.training.scoring import score_results


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

    def as_row(self) -> dict[str, Any]:
        """Return both models' main metrics, and what they were compared on."""
        name = self.main_metric.name
        return {
            "main_metric": name,
            "candidate": self.candidate.get(name),
            "present": self.present.get(name),
            "rival": self.rival.rstrip(","),
            "sessions": self.sessions,
        }

    def objections(self) -> list[str]:
        """Say what speaks against the candidate; nothing where it is better."""
        main = self.main_metric
        said = []
        if not main.beats(self.candidate.get(main.name), self.present.get(main.name)):
            said.append(f"it does not beat {self.rival} by {main.name} {self._values(main.name)}")
        ranking = MainMetric(RANKING_METRIC)
        before, value = self.present.get(RANKING_METRIC), self.candidate.get(RANKING_METRIC)
        if before is None or value is None:
            said.append(
                f"{RANKING_METRIC} is not known of both, so that their ranking can't be told"
            )
        elif value != before and not ranking.beats(value, before):
            said.append(f"it ranks worse than {self.rival} {self._values(RANKING_METRIC)}")
        return said

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
    main = iteration.settings.main_metric
    starting = iteration.starting_metrics_of(run)
    own_sessions = f"the test sessions of batch {iteration.name.batch_id}"
    if champion is None:
        return Contest(main, run.metrics, starting, "its starting model", own_sessions)
    rival = f"the champion, version {champion.number},"
    if batch is not None:
        return _measure(tracker, run, champion, iteration, open_host(), batch, rival, device)
    if champion.run_id == iteration.starting_run:
        return Contest(main, run.metrics, starting, rival, own_sessions)
    siblings = {sibling.run_id: sibling for sibling in tracker.runs(iteration)}
    if champion.run_id in siblings:
        present = siblings[champion.run_id].metrics
        return Contest(main, run.metrics, present, rival, own_sessions)
    raise RequestError(
        f"The champion (version {champion.number}, run {champion.run_id}) and the best model "
        f"(run {run.run_id}) were never measured on the same sessions. Give a released batch to "
        "measure both on: --batch DIR."
    )


def _measure(
    tracker: Tracker,
    run: RunRecord,
    champion: ModelVersion,
    iteration: Iteration,
    host: Host,
    batch: Batch,
    rival: str,
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
    present_metrics = evaluator.of_scores(present_model, present)
    candidate_metrics = evaluator(tracker.load_model(run, device))
    if main.name not in candidate_metrics:
        raise RequestError(
            f"No plugin computes the main metric {main.name!r} on batch {batch.batch_id}, so that "
            "the models cannot be compared by it. --force promotes the model all the same."
        )
    return Contest(main, candidate_metrics, present_metrics, rival, words)


def _iteration_of(tracker: Tracker, run: RunRecord) -> Iteration | None:
    if run.batch_id is None:
        return None
    return tracker.iteration(iteration_name(run.method, run.batch_id))
