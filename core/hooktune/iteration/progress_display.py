"""Shows progress to people: as bars in a terminal or notebook, elsewhere as a line now and then."""

import importlib.util
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hooktune.progress import PhaseProgress, Progress, StepProgress, is_heard, listening

if TYPE_CHECKING:
    import rich.progress

_SAY_AFTER: Final = 2.0  # seconds: a shorter phase is not worth a line
_SAY_EVERY: Final = 30.0  # seconds
_LOOK_EVERY: Final = 0.5  # seconds


class Bars:
    """A bar on standard error for each phase that is going on, which goes when it has ended."""

    def __init__(self) -> None:
        self._tasks: dict[str, rich.progress.TaskID] = {}
        self._drawn: rich.progress.Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Draw how far a phase or a run has come."""
        drawn = self._drawn or self._begin()
        name = progress.run if isinstance(progress, StepProgress) else progress.phase
        if name not in self._tasks:
            self._tasks[name] = drawn.add_task(name, total=None, figures="")
        task = self._tasks[name]
        if isinstance(progress, StepProgress):
            drawn.update(
                task, completed=progress.step, total=progress.total, figures=_loss(progress)
            )
        elif not progress.ended:
            drawn.update(task, completed=progress.done, total=progress.total)
        else:
            self._end(name)

    def print_above(self, line: str) -> bool:
        """Print a line above the bars; False where there are none, and nothing was printed."""
        if self._drawn is None:
            return False
        self._drawn.console.print(line, markup=False, highlight=False, soft_wrap=True)
        return True

    def close(self) -> None:
        """Take all bars away."""
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None
        self._tasks.clear()

    def _begin(self) -> "rich.progress.Progress":
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._drawn = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._drawn.start()
        return self._drawn

    def _end(self, name: str) -> None:
        # With a phase, those within it have ended, even where that was not reported.
        names = list(self._tasks)
        for inner in names[names.index(name) :]:
            task = self._tasks.pop(inner)
            if self._drawn is not None:
                self._drawn.remove_task(task)
        if not self._tasks:
            self.close()


@dataclass
class _Phase:
    progress: Progress
    began: float
    said: float | None = None
    """When a line was last said of it."""


class Lines:
    """Says what takes longer than two seconds, and every 30 seconds how far it has come.

    Args:
        say: Takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._phases: dict[str, _Phase] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._watch: threading.Thread | None = None

    def __call__(self, progress: Progress) -> None:
        """Take how far a phase or a run has come."""
        now = time.monotonic()
        with self._lock:
            name = progress.run if isinstance(progress, StepProgress) else progress.phase
            if not isinstance(progress, StepProgress) and progress.ended:
                names = list(self._phases)
                for inner in names[names.index(name) :] if name in names else []:
                    del self._phases[inner]
            elif name in self._phases:
                self._phases[name].progress = progress
            else:
                self._phases[name] = _Phase(progress, now)
        if self._watch is None:
            self._watch = threading.Thread(target=self._look, name="progress", daemon=True)
            self._watch.start()

    def close(self) -> None:
        """Say nothing more."""
        self._closed.set()
        if self._watch is not None:
            self._watch.join()

    def say_what_is_due(self, now: float) -> None:
        """Say a line of the innermost phase, if it is time for one.

        Args:
            now: The time, as `time.monotonic` tells it.
        """
        with self._lock:
            going_on = list(self._phases.values())
        if not going_on:
            return
        inner = going_on[-1]
        since = inner.began if inner.said is None else inner.said
        # That a run begins is logged with its hyper-parameters.
        is_new = inner.said is None and isinstance(inner.progress, PhaseProgress)
        if now - since >= (_SAY_AFTER if is_new else _SAY_EVERY):
            inner.said = now
            self._say(describe(inner.progress, now - inner.began))

    def _look(self) -> None:
        while not self._closed.wait(_LOOK_EVERY):
            self.say_what_is_due(time.monotonic())


def describe(progress: Progress, seconds: float) -> str:
    """Return a line that says how far a phase or a run has come.

    Args:
        progress: How far.
        seconds: How long it has taken so far.
    """
    if isinstance(progress, StepProgress):
        of = "" if progress.total is None else f" of {progress.total}"
        said = f"{progress.run}: step {progress.step}{of}"
        parts = [said, _loss(progress), _time_left(progress.step, progress.total, seconds)]
    elif progress.total is None:
        parts = [progress.phase]
    elif not progress.done:
        parts = [f"{progress.phase}: {progress.total}"]
    else:
        said = f"{progress.phase}: {progress.done} of {progress.total}"
        parts = [said, _time_left(progress.done, progress.total, seconds)]
    return ", ".join(filter(None, parts))


def _loss(progress: StepProgress) -> str:
    return "" if math.isnan(progress.loss) else f"loss {progress.loss:.4f}"


def _time_left(done: int, total: int | None, seconds: float) -> str:
    if not done or total is None:
        return ""
    left = round(seconds / done * max(total - done, 0))
    return f"{left // 60} min {left % 60} s left" if left >= 60 else f"{left} s left"


@contextmanager
def shown_in_notebook() -> Iterator[None]:
    """Show progress to who works in a notebook, unless somebody listens already."""
    if is_heard() or "ipykernel" not in sys.modules:
        yield
        return
    # Without that package rich would warn instead of drawing.
    can_draw = importlib.util.find_spec("ipywidgets") is not None
    shown = Bars() if can_draw else Lines(lambda line: print(line, file=sys.stderr))  # noqa: T201 - to a notebook
    try:
        with listening(shown):
            yield
    finally:
        shown.close()
