"""Launches workers as processes of this machine, each with its share of cores and GPUs."""

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hooktune import RequestError, Resources, WorkerCommand, hookimpl


@dataclass(eq=False)
class LocalWorker:
    """A worker that is a process of this machine."""

    process: "subprocess.Popen[str]"
    _lines: "queue.SimpleQueue[str]" = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        # Whoever does not read what a process says stops it, once the pipe is full.
        self._reader = threading.Thread(target=self._read, name="worker's messages", daemon=True)
        self._reader.start()

    def poll(self) -> int | None:
        """Return its exit status; None while it runs."""
        status = self.process.poll()
        if status is not None and self.process.stdin is not None:
            # The last thing that it says comes before its end is told.
            self._reader.join(timeout=1)
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        return status

    def stop(self, *, by_force: bool) -> None:
        """End it and what it has started."""
        with suppress(ProcessLookupError):
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL if by_force else signal.SIGTERM)

    def messages(self) -> Sequence[str]:
        """Return the lines that it has said since this was called last."""
        lines = []
        with suppress(queue.Empty):
            while True:
                lines.append(self._lines.get_nowait())
        return lines

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as said:
            for line in said:
                self._lines.put(line.rstrip("\n"))


@hookimpl
def launch(command: WorkerCommand, resources: Resources) -> LocalWorker:
    """Start a worker on this machine."""
    return LocalWorker(command.start(share_of_machine(command, resources)))


def share_of_machine(command: WorkerCommand, resources: Resources) -> dict[str, str]:
    """Return the environment by which a worker keeps to its share of this machine.

    Raises:
        RequestError: There are not so many GPUs.
    """
    cores = resources.cpus or max(len(os.sched_getaffinity(0)) // command.workers, 1)
    # A number that the user has set stands.
    share = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(cores)}
    gpus = visible_gpus()
    if resources.gpus is not None and resources.gpus > len(gpus):
        raise RequestError(
            f"{resources.gpus:g} GPUs are asked for each worker, and this machine has {len(gpus)}."
        )
    if gpus:
        wanted = resources.gpus if resources.gpus is not None else len(gpus) // command.workers
        own = max(int(wanted), 0 if resources.gpus == 0 else 1)
        # Those that are too few for all are shared.
        first = (command.number - 1) * own
        share["CUDA_VISIBLE_DEVICES"] = ",".join(
            gpus[(first + place) % len(gpus)] for place in range(own)
        )
    return share


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip()]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, _ in enumerate(listed.stdout.splitlines())]
