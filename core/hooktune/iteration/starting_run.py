"""Which run's model an iteration tunes."""

from pathlib import Path

from hooktune.errors import RequestError
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.records import INITIAL_MODEL_TAG


def find_starting_run(
    tracker: Tracker,
    method: str,
    existing: Iteration | None,
    *,
    start: str | None = None,
    initial_model: str | None = None,
) -> RunRecord | None:
    """Return the run whose model the iteration tunes; None where no initial model is stored yet.

    Args:
        tracker: The tracking store.
        method: The method's display name.
        existing: The iteration, if it has been created already.
        start: What is asked for: `initial`, `last` or the id of a run; None for what is recorded,
            else for the last best one.
        initial_model: The folder or hub name that the method's initial model is asked to be.

    Raises:
        RequestError: There is no such run, its model is gone, or it is not the recorded one.
    """
    initial = tracker.initial_run(method)
    if initial is not None and initial_model is not None:
        _check_initial_model(initial, initial_model)
    if start == "initial":
        wanted = initial
    elif start in (None, "last"):
        wanted = tracker.run(existing.starting_run) if existing else tracker.starting_model(method)
    else:
        wanted = tracker.run(start)
    if existing is not None and (wanted is None or wanted.run_id != existing.starting_run):
        raise RequestError(
            f"{existing.name} was begun from the model of run {existing.starting_run}. Leave out "
            "--from to continue it, or release another batch to start from another model."
        )
    if existing is None and wanted is not None and not tracker.has_model(wanted):
        raise RequestError(
            f"Run {wanted.run_id} ({wanted.name}) has no model to start from: only the best run of "
            "an iteration keeps one. `hooktune best` names it."
        )
    return wanted


def model_address(model: str) -> str:
    """Return a folder's whole path, which is the same from everywhere, and a hub name as it is."""
    folder = Path(model)
    return str(folder.resolve()) if folder.is_dir() else model


def _check_initial_model(initial: RunRecord, wanted: str) -> None:
    stored = initial.tags.get(INITIAL_MODEL_TAG, "")
    # Stores of hooktune 0.1 hold the path as it was given.
    if stored == wanted or (_is_path(stored) and Path(stored).resolve() == Path(wanted).resolve()):
        return
    raise RequestError(
        f"{initial.method} has an initial model already, "
        f"{stored or 'the one that the method chose itself'}, and {wanted} is "
        "asked for now. Leave it out, or use another tracking store."
    )


def _is_path(text: str) -> bool:
    return bool(text) and "\0" not in text
