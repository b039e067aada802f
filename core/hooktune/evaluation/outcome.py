"""Telling observers what has come to its end, and recording which of them failed."""

from collections.abc import Sequence

from hooktune.contract.outcome import Outcome
from hooktune.evaluation.promotion import DECISION_TAG, Promotion
from hooktune.plugin.checks import ObserverHook
from hooktune.plugin.host import Host
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.addresses import addresses_of
from hooktune.tracking.records import PLUGIN_FAILURE_TAG, PLUGIN_TAG, named_tag


def tell_run_finished(tracker: Tracker, host: Host, iteration: Iteration, run: RunRecord) -> None:
    """Tell of a run that has ended, all of which is in the store."""
    ended = tracker.run(run.run_id)
    model = ended.model_uri if tracker.has_model(ended) else None
    outcome = Outcome(
        method=iteration.name.method,
        batch_id=iteration.name.batch_id,
        run_id=ended.run_id,
        status=ended.status,
        metrics=dict(ended.metrics),
        starting_metrics=iteration.starting_metrics_of(ended),
        addresses=addresses_of(tracker.address, iteration.experiment_id, ended.run_id, model),
    )
    _tell(tracker, host, "run_finished", outcome, ended)


def tell_iteration_finished(
    tracker: Tracker,
    host: Host,
    iteration: Iteration,
    runs: Sequence[RunRecord],
    best: RunRecord | None,
    *,
    stopped: bool,
) -> None:
    """Tell of an iteration that has no run left to do, or was stopped.

    Args:
        tracker: The tracking store.
        host: The plugins.
        iteration: The iteration as the store has it.
        runs: All of its runs, the oldest first; one at least.
        best: The one whose model is kept.
        stopped: Whether the user asked to stop.
    """
    has_finished = any(run.status == "FINISHED" for run in runs)
    status = "KILLED" if stopped else "FINISHED" if has_finished else "FAILED"
    outcome = Outcome(
        method=iteration.name.method,
        batch_id=iteration.name.batch_id,
        run_id=best.run_id if best else None,
        status=status,
        metrics=dict(best.metrics) if best else {},
        starting_metrics=iteration.starting_metrics_of(best)
        if best
        else dict(iteration.starting_metrics),
        addresses=addresses_of(
            tracker.address,
            iteration.experiment_id,
            best.run_id if best else None,
            best.model_uri if best else None,
        ),
    )
    _tell(tracker, host, "iteration_finished", outcome, best or runs[-1])


def tell_promoted(tracker: Tracker, host: Host, promotion: Promotion) -> None:
    """Tell of a model that has become its method's champion."""
    run, champion, contest = promotion.run, promotion.champion, promotion.contest
    model = f"models:/{champion.model}/{champion.number}"
    outcome = Outcome(
        method=run.method,
        batch_id=run.batch_id,
        run_id=run.run_id,
        status=champion.tags[DECISION_TAG],
        metrics=dict(contest.candidate if contest else run.metrics),
        starting_metrics=dict(contest.present) if contest else {},
        addresses=addresses_of(tracker.address, run.experiment_id, run.run_id, model),
    )
    _tell(tracker, host, "promoted", outcome, run)


def plugin_tags(host: Host) -> dict[str, str]:
    """Return the tags that name a host's plugins and where they come from."""
    return {named_tag(PLUGIN_TAG, plugin.name): plugin.origin for plugin in host.plugins}


def failure_tags(host: Host) -> dict[str, str]:
    """Return the tags that say which plugins were left out and which observers failed."""
    tags: dict[str, str] = {}
    for failure in host.failures:
        key = named_tag(PLUGIN_FAILURE_TAG, failure.name)
        tags[key] = "\n".join(filter(None, [tags.get(key), str(failure)]))
    return tags


def _tell(
    tracker: Tracker, host: Host, hook: ObserverHook, outcome: Outcome, run: RunRecord
) -> None:
    known = host.failures
    host.tell(hook, outcome)
    if host.failures != known:
        tracker.tag(run, failure_tags(host))
