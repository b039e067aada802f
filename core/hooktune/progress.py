"""What is being done and how far it has come: libraries report it, whoever listens may show it.

Listeners are those of the present context, so that two threads do not hear of each other's work.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class PhaseProgress:
    """How far a part of the work has come; phases may lie within each other."""

    phase: str
    """What is done, such as `encoding texts by the starting model`."""
    done: int = 0
    total: int | None = None
    """Of how many, such as texts; None where that is not counted."""
    ended: bool = False
    """Whether this is the last that is heard of it, as it is done or has failed."""


@dataclass(frozen=True)
class StepProgress:
    """How far the training of a run has come; a `PhaseProgress` of that name tells of its end."""

    run: str
    step: int
    total: int | None
    """The number of steps at most; None where the method does not tell."""
    loss: float
    """The running loss; NaN where there is none yet."""


Progress = PhaseProgress | StepProgress
Listener = Callable[[Progress], None]

_listeners: Final[ContextVar[tuple[Listener, ...]]] = ContextVar("listeners", default=())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hand what is reported in this context to a function.

    Args:
        listener: Is called in the middle of the work, so that it should be quick; what it raises
            ends the work.
    """
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


def is_heard() -> bool:
    """Tell whether anybody listens in this context."""
    return bool(_listeners.get())


def report(progress: Progress) -> None:
    """Tell the listeners of this context how far the work has come."""
    for listener in _listeners.get():
        listener(progress)


@contextmanager
def phase(name: str, total: int | None = None) -> Iterator[None]:
    """Report that a part of the work begins, and that it has ended.

    Args:
        name: What is done.
        total: On how many things, such as texts.
    """
    report(PhaseProgress(name, 0, total))
    try:
        yield
    finally:
        report(PhaseProgress(name, 0, total, ended=True))


def track(parts: Sequence[T], sizes: Sequence[int], name: str) -> Iterable[T]:
    """Report how far a phase has come while some parts are gone through.

    Args:
        parts: What is gone through.
        sizes: For each part, how many things it holds.
        name: What is done.
    """
    total = sum(sizes)
    done = 0
    with phase(name, total):
        for part, size in zip(parts, sizes, strict=True):
            yield part
            done += size
            report(PhaseProgress(name, done, total))


class StepReporter:
    """Reports the steps of a run, which is a phase; use it as a context manager.

    Args:
        run: What the run is called.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._total: int | None = None

    def __enter__(self) -> Self:
        self.show(0, math.nan)
        return self

    def __exit__(self, *_: object) -> None:
        report(PhaseProgress(self._run, ended=True))

    def expect(self, steps: int) -> None:
        """Take how many steps there will be at most."""
        self._total = steps

    def show(self, step: int, loss: float) -> None:
        """Take how many steps are done, and the running loss."""
        report(StepProgress(self._run, step, self._total, loss))
