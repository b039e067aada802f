"""The average of an iteration's runs: one more candidate, whose weights are the mean of theirs.

What each run has trained is kept in the store until no run is left to do, so that any process can
make the average, also after others have died. Then it is deleted.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

from hooktune.contract.metric import FIT_SECONDS
from hooktune.errors import DifferentShapesError, HooktuneError, StoreAwayError
from hooktune.iteration.average import NO_NUMBER, Average
from hooktune.iteration.plan import PlannedRun
from hooktune.iteration.sharing import share_out
from hooktune.iteration.takeover import RECORDED_KEY
from hooktune.processes import scratch_folder
from hooktune.progress import phase
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.claims import Claim
from hooktune.tracking.models.best import read_again
from hooktune.tracking.models.kept_weights import (
    WEIGHTS_TAG,
    forget_weights,
    has_weights,
    keep_weights,
    kept_weights,
)
from hooktune.tracking.models.loading import load_folder, quiet_loading
from hooktune.tracking.outage import with_retries
from hooktune.tracking.records import to_json
from hooktune.training.mean_model import Part, write_changes, write_mean

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_AVERAGING: Final = "average"
"""What is claimed to make an average and to delete what it was made of: one process at a time."""

_MOST_RUNS: Final = 100
"""An average is of so many runs at most: their ids stand in a tag."""


@dataclass(frozen=True)
class _Source:
    """What can be averaged: what a run has trained, or an average that an iteration keeps."""

    run: RunRecord
    runs: tuple[str, ...]
    """The trained runs that it stands for."""


def keep_trained_weights(
    tracker: Tracker,
    run: RunRecord,
    start: "SentenceTransformer",
    model: "SentenceTransformer",
) -> None:
    """Keep what a run has trained until the iteration ends; a failure is a warning."""
    try:
        with (
            phase("keeping the trained weights to average them"),
            scratch_folder() as folder,
        ):
            _write_own(start, model, folder)
            keep_weights(tracker.client, run, folder / "own")
    except Exception as error:
        logger.warning(
            "run %s takes no part in the average of runs, as its weights are not kept: %s",
            run.run_id,
            error,
        )


def can_be_averaged(tracker: Tracker, iteration: Iteration | None) -> bool:
    """Tell whether an iteration has runs to make an average of, and a model that they began with.

    That is so where a process died before it had made it.
    """
    return (
        iteration is not None
        and bool(_sources(tracker, iteration))
        and tracker.has_model(tracker.run(iteration.starting_run))
    )


def average_runs(
    tracker: Tracker,
    iteration: Iteration,
    start: "SentenceTransformer",
    do: Callable[[PlannedRun, Claim], RunRecord | None],
    stop: Event,
    on_wait: Callable[[], object] = lambda: None,
) -> None:
    """Make the average of an iteration's runs, unless that was done, and delete their weights.

    All finished runs count, those too that a guard holds back: chosen by clicks, the best of some
    runs was worse than the average of all. Runs whose weights are gone, as the iteration had ended
    before, count as far as the model that it keeps holds them.

    Args:
        tracker: The tracking store.
        iteration: The iteration, none of whose runs is left to do.
        start: The starting model.
        do: Measures it and keeps it if it is the best, as it is done with other runs.
        stop: Set from outside to end soon.
        on_wait: Called again and again while another process does it.
    """

    def average(_: object, claim: Claim) -> None:
        present = read_again(tracker.client, iteration)
        sources = _sources(tracker, present)
        _end_left_ones(tracker, present, _key(sources))
        if sources:
            with _planned(tracker, sources, start) as planned:
                made = None if planned is None else do(planned, claim)
            if made is not None and made.status != "FINISHED":
                return  # the weights are there for another try
        _forget_all(tracker, present)

    if _is_anything_left(tracker, iteration):
        share_out(tracker, iteration, {_AVERAGING: None}, average, stop, on_wait)


def clear_averaging(tracker: Tracker, iteration: Iteration, stop: Event) -> None:
    """Delete what a process that died has left of an average that nobody makes any more."""

    def clear(_: object, _claim: Claim) -> None:
        # There are some where another process has just done its runs, and goes on by itself.
        if not (sources := _sources(tracker, read_again(tracker.client, iteration))):
            _end_left_ones(tracker, iteration, _key(sources))
            _forget_all(tracker, iteration)

    if _is_anything_left(tracker, iteration):
        share_out(tracker, iteration, {_AVERAGING: None}, clear, stop)


def _sources(tracker: Tracker, iteration: Iteration) -> list[_Source]:
    """Return what an average can be made of; nothing where there is one of these runs already."""
    finished = [run for run in tracker.runs(iteration) if run.status == "FINISHED"]
    sources = [_Source(run, (run.run_id,)) for run in finished if has_weights(run)]
    known = {run_id for source in sources for run_id in source.runs}
    for run in finished:
        own = run.average_of or (run.run_id,)
        if known and run.run_id == iteration.best_run and known.isdisjoint(own):
            sources += [_Source(run, own)] if tracker.has_model(run) else []
    while sum(len(source.runs) for source in sources) > _MOST_RUNS:
        sources.pop()
    runs = {run_id for source in sources for run_id in source.runs}
    is_made = any(runs <= {*run.average_of} for run in finished)
    return [] if len(runs) < 2 or is_made else sources


@contextmanager
def _planned(
    tracker: Tracker, sources: Sequence[_Source], start: "SentenceTransformer"
) -> Iterator[PlannedRun | None]:
    """Give the run of an average; None where there can be none, which is said."""
    runs = [run_id for source in sources for run_id in source.runs]
    name = f"average of {len(runs)} runs"
    try:
        with phase(f"making the {name}"):
            model = with_retries(tracker.tracking_uri, lambda: _mean_model(tracker, sources, start))
    except DifferentShapesError as error:
        logger.info("there is no %s, as their models are not made alike: %s", name, error)
        yield None
        return
    except StoreAwayError:
        raise
    except HooktuneError as error:
        logger.warning("there is no %s: %s", name, error)
        yield None
        return
    yield PlannedRun(
        NO_NUMBER,
        _key(sources),
        name,
        RECORDED_KEY,
        average=Average(
            model,
            tuple(runs),
            sum(source.run.metrics.get(FIT_SECONDS, 0.0) for source in sources),
        ),
    )


def _mean_model(
    tracker: Tracker, sources: Sequence[_Source], start: "SentenceTransformer"
) -> "SentenceTransformer":
    with scratch_folder() as scratch, ExitStack() as opened:
        parts = []
        for source in sources:
            if has_weights(source.run):
                folder = opened.enter_context(kept_weights(tracker.client, source.run))
            else:
                above = opened.enter_context(scratch_folder())
                _write_own(start, tracker.load_model(source.run, "cpu"), above)
                folder = above / "own"
            parts.append(Part(folder, len(source.runs)))
        _save(start, scratch / "start")
        write_mean(scratch / "start", parts, scratch / "mean")
        return load_folder(scratch / "mean", "the average of runs", str(start.device))


def _write_own(start: "SentenceTransformer", model: "SentenceTransformer", folder: Path) -> None:
    """Write into the folder `own` of a folder what a model holds that the starting one does not."""
    _save(start, folder / "start")
    _save(model, folder / "tuned")
    write_changes(folder / "start", folder / "tuned", folder / "own")


def _save(model: "SentenceTransformer", folder: Path) -> None:
    with quiet_loading():
        model.save_pretrained(str(folder), create_model_card=False)


def _end_left_ones(tracker: Tracker, iteration: Iteration, key: str) -> None:
    """End the averages of other runs whose processes died; nobody else is making one now."""
    for run in tracker.runs(iteration):
        if _is_left(run) and run.run_key != key:
            tracker.end_run(run, "KILLED", "its process died")


def _forget_all(tracker: Tracker, iteration: Iteration) -> None:
    for run in tracker.runs(iteration):
        if run.status != "RUNNING":
            forget_weights(tracker.client, run)


def _is_anything_left(tracker: Tracker, iteration: Iteration) -> bool:
    return any(WEIGHTS_TAG in run.tags or _is_left(run) for run in tracker.runs(iteration))


def _is_left(run: RunRecord) -> bool:
    return run.status == "RUNNING" and bool(run.average_of)


def _key(sources: Sequence[_Source]) -> str:
    """Return what tells an average from those of other runs."""
    runs = sorted(run_id for source in sources for run_id in source.runs)
    return hashlib.sha256(to_json({"average_of": runs}).encode()).hexdigest()[:32]
