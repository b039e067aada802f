"""What a launcher starts: workers, which are processes that share the runs of an iteration."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Resources:
    """What a worker is to have; None leaves it to the launcher."""

    cpus: int | None = None
    """How many cores."""
    gpus: float | None = None
    """How many GPUs; where the launcher can share one, a fraction of it."""


@dataclass(frozen=True)
class WorkerCommand:
    """The command of one worker, which is to be run wherever the launcher likes."""

    arguments: tuple[str, ...]
    """What follows `hooktune` on the command line."""
    environment: Mapping[str, str] = field(repr=False)
    """What is to be in its environment; the address of the store may hold a password."""
    folder: str
    """Where it is to be run, as the command line may hold relative paths."""
    number: int
    """Which worker it is, from 1 on."""
    workers: int
    """How many there are to be."""

    def start(self, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start it on this machine; it ends when this process does, whatever ends that.

        Args:
            environment: What is to be in its environment beside the command's own.

        Returns:
            The process; `stdout` gives the lines of all that it says.
        """
        return subprocess.Popen(
            [sys.executable, "-m", "hooktune", *self.arguments],
            env={**os.environ, **(environment or {}), **self.environment},
            cwd=self.folder,
            # Held open as long as this process lives, by which the worker knows that it does.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C in a terminal reaches the launching process alone, which hands it on.
            start_new_session=True,
        )


@runtime_checkable
class Worker(Protocol):
    """A worker that was launched: what `launch` returns."""

    def poll(self) -> int | None:
        """Return its exit status, a negative one where it was lost; None while it is not over."""
        ...

    def stop(self, *, by_force: bool) -> None:
        """End it, and do not wait for that; nothing happens where it is over.

        Args:
            by_force: Whether at once. Otherwise it gets SIGTERM, and records what it was doing.
        """
        ...

    def messages(self) -> Sequence[str]:
        """Return the lines that it has said since this was called last, without waiting."""
        ...
