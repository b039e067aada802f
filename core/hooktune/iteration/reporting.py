"""The report of a run or of an iteration's best run, for whoever asks for one."""

from hooktune.errors import HooktuneError, PluginRequestError, RequestError
from hooktune.evaluation.comparison import chosen_run
from hooktune.evaluation.report.report import stored_report, write_report
from hooktune.iteration.lookup import find_iteration
from hooktune.naming import iteration_name
from hooktune.plugin.choice import PluginChoice
from hooktune.tracking import Iteration, RunRecord, Tracker


def make_report(tracker: Tracker, plugins: PluginChoice, wanted: str) -> str:
    """Return a report as one page of HTML.

    Args:
        tracker: The tracking store.
        plugins: The plugins that may be used; they bring the sections.
        wanted: An iteration, by its name or the beginning of its batch id, for its best run; or
            the id of a run, or its beginning.

    Raises:
        RequestError: There is no such run or iteration, or nothing to tell of it.
        HooktuneError: What the run has kept cannot be read.
    """
    iteration, run = _find(tracker, wanted)
    try:
        host = plugins.open_host(run.method)
    except PluginRequestError as error:
        # Such as that of a method in a file, which is known by its path alone.
        stored = stored_report(tracker, run)
        if stored is None:
            raise RequestError(
                f"No report of run {run.run_id} was stored, and a new one needs its method. {error}"
            ) from error
        return stored.decode()
    return write_report(tracker, host, iteration, run)


def _find(tracker: Tracker, wanted: str) -> tuple[Iteration, RunRecord]:
    """Return the run that is meant, with its iteration."""
    try:
        iteration = find_iteration(tracker.iterations(), wanted)
    except RequestError as no_iteration:
        try:
            run = tracker.run(wanted)
        except HooktuneError as error:
            raise RequestError(f"{wanted!r} is no run either. {no_iteration}") from error
        found = None
        if run.batch_id is not None:
            found = tracker.iteration(iteration_name(run.method, run.batch_id))
        if found is None or run.status != "FINISHED":
            raise RequestError(
                f"Run {run.run_id} has no report: it is no run of an iteration that has finished."
            ) from no_iteration
        return found, run
    chosen = chosen_run(tracker, iteration)
    if chosen is None:
        raise RequestError(f"No run of {iteration.name} has finished, so there is no report yet.")
    return iteration, chosen
