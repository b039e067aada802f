"""Progress bars on standard error, which say nothing where that is no terminal."""

import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import rich.progress
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")


def is_shown() -> bool:
    """Tell whether progress is shown: only to somebody at a terminal."""
    return sys.stderr.isatty()


def track(parts: Sequence[T], description: str) -> Iterable[T]:
    """Show how many of some parts are done while they are gone through.

    Args:
        parts: The parts.
        description: What the bar stands for.
    """
    return rich.progress.track(
        parts,
        description,
        console=Console(stderr=True),
        transient=True,
        disable=not is_shown(),
    )


class RunBar:
    """Shows how far a run has come, with its running loss; use it as a context manager.

    Args:
        description: What the bar stands for.
    """

    def __init__(self, description: str) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
            disable=not is_shown(),
        )
        self._task: TaskID = self._bars.add_task(description, total=None, figures="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def expect(self, steps: int) -> None:
        """Take how many steps there will be at most."""
        self._bars.update(self._task, total=steps)

    def show(self, step: int, loss: float) -> None:
        """Take how many steps are done, and the running loss."""
        self._bars.update(self._task, completed=step, figures=f"loss {loss:.4f}")
