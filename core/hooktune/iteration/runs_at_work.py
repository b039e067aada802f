"""How far the runs of an iteration have come, as whoever looks at the store can tell it."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.records import PROCESS_TAG
from hooktune.tracking.stored_points import last_point
from hooktune.tracking.tag_values import json_object, whole_number

STEPS_TAG: Final = "hooktune.steps"
"""How many steps a run takes at most."""
_LOSS: Final = "sliding_train_loss"


class Steps(Protocol):
    """Shows the steps of a run, as `TrackedRun` tells them."""

    def expect(self, steps: int) -> None:
        """Take how many steps there will be at most."""
        ...

    def show(self, step: int, loss: float) -> None:
        """Take how many steps are done, and the present loss."""
        ...


@dataclass(frozen=True)
class RecordedSteps:
    """Shows the steps of a run here, and records how many there will be for who looks elsewhere."""

    shown: Steps
    record: Callable[[dict[str, str]], None]
    """Takes tags of the run."""

    def expect(self, steps: int) -> None:
        """Take how many steps there will be at most."""
        self.shown.expect(steps)
        self.record({STEPS_TAG: str(steps)})

    def show(self, step: int, loss: float) -> None:
        """Take how many steps are done, and the present loss."""
        self.shown.show(step, loss)


@dataclass(frozen=True)
class RunAtWork:
    """A run, and how far it has come."""

    run_id: str
    name: str
    status: str
    worker: str
    """What does it: the number of a worker or a process id, and the machine."""
    step: int | None
    """The last step that the store knows; None where the method logs none."""
    steps: int | None
    """How many there will be at most; None where the method does not tell."""
    loss: float | None
    """The mean loss of the last steps."""
    seconds: float
    """For how long it has been at work, or was."""
    seconds_left: float | None
    """How long the steps that are left take at the speed so far; None where that is not known."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def runs_at_work(tracker: Tracker, iteration: Iteration, now: float) -> list[RunAtWork]:
    """Return the runs of an iteration and how far each has come, the oldest first.

    Args:
        tracker: The tracking store.
        iteration: The iteration.
        now: The time, in seconds of the epoch.
    """
    return [_at_work(tracker, run, now) for run in tracker.runs(iteration)]


def iteration_at_work(tracker: Tracker) -> Iteration | None:
    """Return the iteration that is meant where none is named: the last one with a run at work.

    Without a run at work it is the last that was begun; None where there is none at all.
    """
    newest = sorted(tracker.iterations(), key=lambda each: each.created_at, reverse=True)
    at_work = (each for each in newest if _is_at_work(tracker.runs(each)))
    return next(at_work, newest[0] if newest else None)


def _is_at_work(runs: Iterable[RunRecord]) -> bool:
    return any(run.status == "RUNNING" for run in runs)


def _at_work(tracker: Tracker, run: RunRecord, now: float) -> RunAtWork:
    began = run.started_at / 1000
    total = whole_number(run.tags.get(STEPS_TAG))
    point = last_point(tracker.client, run.run_id, _LOSS)
    left = None
    if run.status == "RUNNING" and point and point.step and total:
        each = (point.timestamp / 1000 - began) / point.step
        left = max(began + each * total - now, 0.0)
    return RunAtWork(
        run.run_id,
        run.name,
        run.status,
        _worker_in_words(run),
        None if point is None else point.step,
        total,
        None if point is None else point.value,
        run.seconds if run.seconds is not None else max(now - began, 0.0),
        left,
    )


def _worker_in_words(run: RunRecord) -> str:
    """Say what does a run, by the process that is recorded on it."""
    process = json_object(run.tags.get(PROCESS_TAG)) or {}
    if "host" not in process or not {"worker", "pid"} & process.keys():
        return "unknown"
    who = f"worker {process['worker']}" if "worker" in process else f"process {process['pid']}"
    return f"{who} on {process['host']}"
