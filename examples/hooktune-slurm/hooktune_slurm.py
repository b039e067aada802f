"""A launcher for hooktune: each worker is a job of Slurm, submitted by submitit."""

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit

from hooktune import RequestError, Resources, WorkerCommand, hookimpl

PARAMETERS = "HOOKTUNE_SLURM"
"""Holds further parameters of submitit, such as `slurm_partition=gpu timeout_min=600`."""
FOLDER = "hooktune-slurm"
DAY = 24 * 60  # minutes
MARK = "| "
"""What a line begins with that the worker has said, and not submitit."""
LOST = -1


@dataclass(eq=False)
class SlurmWorker:
    """A worker that is a job."""

    job: "submitit.Job[int]"
    _read: int = 0
    """How many bytes of what it has said were read."""

    def poll(self) -> int | None:
        """Return its exit status; a negative one where the job ended and the worker did not."""
        is_over = self.job.done()  # first, as a result may come while this is asked
        if self.job.paths.result_pickle.exists():
            error = self.job.exception()
            return self.job.result() if error is None else 1
        return LOST if is_over else None

    def stop(self, *, by_force: bool) -> None:  # noqa: ARG002 - Slurm itself kills what stays
        """Cancel the job."""
        self.job.cancel(check=False)

    def messages(self) -> Sequence[str]:
        """Return the whole lines that it has said since this was called last."""
        try:
            with self.job.paths.stdout.open("rb") as file:
                file.seek(self._read)
                said = file.read()
        except FileNotFoundError:
            return []
        whole = said[: said.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = whole.decode(errors="replace").splitlines()
        return [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]


@hookimpl
def launch(command: WorkerCommand, resources: Resources) -> SlurmWorker:
    """Submit a worker as a job."""
    folder = Path(command.folder) / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    given = parameters()
    cluster = given.pop("cluster", "slurm")
    if cluster == "slurm" and shutil.which("sbatch") is None:
        raise RequestError(
            "There is no Slurm on this machine: sbatch was not found. Launch from a login node, or "
            f'try it out here: {PARAMETERS}="cluster=local".'
        )
    executor = submitit.AutoExecutor(folder, cluster=cluster)
    executor.update_parameters(
        **{
            "name": f"hooktune-{command.number}",
            "timeout_min": DAY,
            "cpus_per_task": resources.cpus or 1,
            "gpus_per_node": math.ceil(resources.gpus or 0),
            **given,
        }
    )
    return SlurmWorker(executor.submit(work, command))


def work(command: WorkerCommand) -> int:
    """Be the job: run the worker, and pass on what it says."""
    process = command.start({"OMP_NUM_THREADS": os.environ.get("SLURM_CPUS_PER_TASK", "1")})
    assert process.stdout is not None
    for line in process.stdout:
        print(MARK + line, end="", flush=True)  # noqa: T201 - to the job's own file
    return process.wait()


def parameters() -> dict[str, Any]:
    """Read the further parameters of submitit.

    Raises:
        RequestError: One is no `name=value`.
    """
    given: dict[str, Any] = {}
    for text in os.environ.get(PARAMETERS, "").split():
        name, mark, value = text.partition("=")
        if not mark:
            raise RequestError(f"{PARAMETERS} holds {text!r}, which is not name=value.")
        given[name] = int(value) if value.isdecimal() else value
    return given
