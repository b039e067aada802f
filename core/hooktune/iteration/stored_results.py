"""What methods came to on a batch, as the store has it: for who did not do the runs."""

from collections.abc import Iterable

from hooktune.contract.listing import Listing
from hooktune.errors import HooktuneError
from hooktune.iteration.result import IterationResult, MethodOutcome
from hooktune.naming import iteration_name
from hooktune.plugin.choice import PluginChoice
from hooktune.tracking import RunRecord, Tracker


def stored_results(
    tracker: Tracker,
    plugins: PluginChoice,
    methods: Iterable[str] | None,
    batch_id: str,
    since: float,
) -> Listing[MethodOutcome]:
    """Return what some methods have come to.

    Args:
        tracker: The tracking store.
        plugins: Which plugins there are.
        methods: Their names or files; None for all that there are.
        batch_id: The batch.
        since: When the work has begun, in seconds of the epoch; runs that ended before it had been
            done before.
    """
    names = plugins.method_names() if methods is None else map(plugins.name_of, methods)
    return Listing(
        [_stored_result(tracker, name, batch_id, since) for name in dict.fromkeys(names)]
    )


def _stored_result(tracker: Tracker, method: str, batch_id: str, since: float) -> MethodOutcome:
    iteration = tracker.iteration(iteration_name(method, batch_id))
    if iteration is None:
        return MethodOutcome(
            method, None, HooktuneError("No run of it was begun; why is said above.")
        )
    runs = Listing(tracker.runs(iteration))
    attempted = sum(_ended_at(run) >= since for run in runs)
    best = tracker.best(iteration)
    return MethodOutcome(
        method, IterationResult(iteration, runs, best, attempted, tracker.address), None
    )


def _ended_at(run: RunRecord) -> float:
    """Return when a run ended, in seconds of the epoch; 0 where it has not."""
    return 0.0 if run.seconds is None else run.started_at / 1000 + run.seconds
