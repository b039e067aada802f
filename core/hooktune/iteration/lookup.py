"""Which iteration or batch is meant by a name, a folder, or the beginning of an id."""

from collections.abc import Sequence
from pathlib import Path

from hooktune.contract.sessions import Batch
from hooktune.data.manifest import read_manifest
from hooktune.data.release import open_batch
from hooktune.errors import RequestError, did_you_mean
from hooktune.tracking import Iteration, RunRecord, Tracker


def find_iteration(known: Sequence[Iteration], wanted: str) -> Iteration:
    """Return the iteration of a whole name, or of the beginning of a batch id that is no other's.

    Raises:
        RequestError: There is no such iteration, or several.
    """
    found = [
        iteration
        for iteration in known
        if wanted == str(iteration.name) or iteration.name.batch_id.startswith(wanted or " ")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = "; ".join(str(iteration.name) for iteration in found)
        raise RequestError(f"{wanted!r} names several iterations: {names}. Give a whole name.")
    all_names = [str(iteration.name) for iteration in known]
    raise RequestError(f"There is no iteration {wanted!r}. {did_you_mean(wanted, all_names)}")


def find_batch_id(tracker: Tracker, batch: str | Path | Batch) -> str:
    """Return the id of a batch.

    Args:
        tracker: The store, in which a method has run on the batch.
        batch: A released batch, its folder, or the beginning of its id.

    Raises:
        RequestError: There is no such batch, or several.
    """
    if isinstance(batch, Batch):
        return batch.batch_id
    if isinstance(batch, Path) or Path(batch).is_dir():
        return read_manifest(Path(batch)).batch_id
    known = {iteration.name.batch_id for iteration in tracker.iterations()}
    found = [batch_id for batch_id in known if batch_id.startswith(batch or " ")]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(found))
        raise RequestError(f"{batch!r} begins the ids of several batches: {names}.")
    raise RequestError(
        f"{batch!r} is no folder, and no method has run on a batch with such an id. "
        "`hooktune iterations` lists them."
    )


def opened_batch(batch: str | Path | Batch) -> Batch:
    """Return a batch, which may be given by its folder."""
    return batch if isinstance(batch, Batch) else open_batch(Path(batch))


def find_best(tracker: Tracker, method: str) -> RunRecord:
    """Return the run with a method's best model: what its next iteration starts from.

    Raises:
        RequestError: The method has no model yet.
    """
    run = tracker.starting_model(method)
    if run is None:
        known = {iteration.name.method for iteration in tracker.iterations()}
        raise RequestError(f"{method!r} has no model yet. {did_you_mean(method, known)}")
    return run
