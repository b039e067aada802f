"""A launcher for hooktune: each worker is a task of a Ray cluster."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError, TaskCancelledError

from hooktune import RequestError, Resources, WorkerCommand, hookimpl

# So that this package is needed where workers are launched, and not on every node.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

ADDRESS = "RAY_ADDRESS"
LOST = -1


@dataclass(eq=False)
class RayWorker:
    """A worker that is a task, which gives line by line what the worker says, and then its end."""

    given: "ray.ObjectRefGenerator"
    _status: int | None = None
    _lines: list[str] = field(default_factory=list)

    def poll(self) -> int | None:
        """Return its exit status; a negative one where its node or its process is gone."""
        while self._status is None and self._is_ready():
            try:
                self._take(ray.get(next(self.given)))
            except StopIteration:
                self._status = LOST
            except TaskCancelledError:
                self._status = LOST
            except RayTaskError as error:
                self._lines.append(str(error).strip().splitlines()[-1])
                self._status = 1
            except RayError as error:
                self._lines.append(f"Ray has lost it: {str(error).splitlines()[0]}")
                self._status = LOST
        return self._status

    def stop(self, *, by_force: bool) -> None:
        """Cancel the task; the worker ends with it."""
        ray.cancel(self.given, force=by_force)

    def messages(self) -> Sequence[str]:
        """Return the lines that have come since this was called last."""
        lines, self._lines = self._lines, []
        return lines

    def _is_ready(self) -> bool:
        ready, _ = ray.wait([self.given], timeout=0, fetch_local=False)
        return bool(ready)

    def _take(self, given: str | int) -> None:
        if isinstance(given, int):
            self._status = given
        else:
            self._lines.append(given)


@hookimpl
def launch(command: WorkerCommand, resources: Resources) -> RayWorker:
    """Submit a worker as a task."""
    join_cluster()
    asked: dict[str, Any] = {
        "num_cpus": resources.cpus or 1,
        "num_gpus": resources.gpus or 0,
        # What it was doing the other workers go on with.
        "max_retries": 0,
        "num_returns": "streaming",
        "scheduling_strategy": "SPREAD",
        "name": f"hooktune worker {command.number}",
    }
    return RayWorker(ray.remote(work).options(**asked).remote(command))


def join_cluster() -> None:
    """Connect to the cluster that `RAY_ADDRESS` names, else to that of this machine, once.

    Raises:
        RequestError: There is none.
    """
    if ray.is_initialized():
        return
    try:
        ray.init(
            address=os.environ.get(ADDRESS, "auto"), log_to_driver=False, logging_level="error"
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RequestError(
            f"No Ray cluster can be reached: {str(error).splitlines()[0]} Start one by `ray start "
            f"--head`, or name it by {ADDRESS}."
        ) from error


def work(command: WorkerCommand) -> Iterator[str | int]:
    """Be the task: run the worker, pass on what it says, and give its exit status in the end."""
    cores = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    process = command.start({"OMP_NUM_THREADS": str(max(int(cores), 1))})
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for line in process.stdout:
            yield line.rstrip("\n")
        yield process.wait()
    finally:
        # Where the task is cancelled: by this the worker knows, and records what it was doing.
        process.stdin.close()
