"""Does the runs of `hooktune run` in several workers, and tells what they say."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hooktune.cli.terminal import say
from hooktune.contract.launching import Resources, Worker, WorkerCommand
from hooktune.plain_text import without_secrets
from hooktune.processes import SHARED_VARIABLE, WORKER_VARIABLE, scratch_folder

if TYPE_CHECKING:
    from hooktune.cli.group import Context

LOCAL: Final = "local"
"""The launcher where none is named."""
VERSIONS_VARIABLE: Final = "HOOKTUNE_PLUGIN_VERSIONS"

_OWN_VARIABLES: Final = ("HOOKTUNE_", "MLFLOW_", "HF_HUB_OFFLINE")
_GRACE: Final = 60.0  # seconds: what a worker may take to end once it is told to
_AFTER_THE_FIRST: Final = 120.0  # seconds: what the others may take once one finds all done
_LOOK_EVERY: Final = 0.1  # seconds


@dataclass(frozen=True)
class Workers:
    """How many workers are asked for, who launches them, and what each is to have."""

    count: int
    launcher: str | None
    resources: Resources

    @property
    def are_wanted(self) -> bool:
        """Whether the runs are to be done by others than this process."""
        return not is_worker() and (self.count > 1 or self.launcher is not None)


def worker_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options for workers, which it takes as one argument, `workers`."""

    @click.option(
        "--workers",
        "worker_count",
        type=click.IntRange(min=1),
        default=1,
        help="Do the runs in so many processes at once.",
    )
    @click.option(
        "--launch", metavar="NAME", help=f"Where workers are started.  [default: {LOCAL}]"
    )
    @click.option("--worker-cpus", type=click.IntRange(min=1), help="Cores of each worker.")
    @click.option(
        "--worker-gpus", type=click.FloatRange(min=0), help="GPUs of each worker, or a part of one."
    )
    @wraps(command)
    def with_workers(
        *given: Any,
        worker_count: int,
        launch: str | None,
        worker_cpus: int | None,
        worker_gpus: float | None,
        **others: Any,
    ) -> None:
        resources = Resources(worker_cpus, worker_gpus)
        command(*given, workers=Workers(worker_count, launch, resources), **others)

    return with_workers


def is_worker() -> bool:
    """Tell whether this process is a worker that somebody launched."""
    return WORKER_VARIABLE in os.environ


def begin_work(context: "Context", methods: Sequence[str] | None) -> None:
    """Begin as a worker, which ends with whoever launched it.

    Raises:
        RequestError: This machine has other plugins than the one where the command was given.
    """
    from hooktune.plugin.versions import check_same_versions, plugin_versions

    threading.Thread(target=_end_with_launcher, name="launcher", daemon=True).start()
    expected = os.environ.get(VERSIONS_VARIABLE)
    if expected is not None:
        check_same_versions(json.loads(expected), plugin_versions(methods, context.block))


def _end_with_launcher() -> None:
    """Wait until nobody holds the standard input open any more, and end this process then."""
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def run_workers(
    context: "Context", workers: Workers, methods: Sequence[str] | None, max_runs: int
) -> int:
    """Do the runs of a command in workers, and wait for all of them.

    Args:
        context: What stands before the command, and the command line.
        workers: What is asked for.
        methods: Names or files of the methods; None for all.
        max_runs: How many runs of a method there are at most.

    Returns:
        The exit status: 0 where a worker found that all is done.

    Raises:
        RequestError: There is no such launcher, or it cannot give these resources.
        PluginError: The launcher failed.
    """
    from hooktune.plugin.launchers import choose_launcher

    launcher = choose_launcher(workers.launcher or LOCAL, context.block)
    count = min(workers.count, max_runs)
    if count < workers.count:
        say(f"{count} workers are enough for {max_runs} runs at most.")
    with scratch_folder() as shared:
        environment = _environment(context, methods, shared)
        team = _Team()
        try:
            for number in range(1, count + 1):
                command = WorkerCommand(
                    context.arguments,
                    {**environment, WORKER_VARIABLE: str(number)},
                    str(Path.cwd()),
                    number,
                    count,
                )
                team.add(launcher.launch(command, workers.resources))
            team.wait()
        finally:
            team.end()
    return team.status


def _environment(
    context: "Context", methods: Sequence[str] | None, shared: Path
) -> Mapping[str, str]:
    from hooktune.plugin.versions import plugin_versions

    own = {name: text for name, text in os.environ.items() if name.startswith(_OWN_VARIABLES)}
    # By the environment, as everybody on the machine may read arguments, and a password in them.
    store = {"HOOKTUNE_TRACKING_URI": context.tracking_uri} if context.tracking_uri else {}
    versions = plugin_versions(methods, context.block)
    return {
        **own, **store, VERSIONS_VARIABLE: json.dumps(versions), SHARED_VARIABLE: str(shared),
    }  # fmt: skip


@dataclass
class _Team:
    """The workers that were launched, in the order of their numbers."""

    members: list[Worker] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    """The exit status of each worker that is over, by its number."""
    _said: dict[str, int] = field(default_factory=dict)
    """Which worker was the first to say a line."""

    def add(self, worker: Worker) -> None:
        self.members.append(worker)

    @property
    def status(self) -> int:
        """The exit status of all: that of the best, where one that was lost has failed."""
        ends = [max(status, 1) if status else 0 for status in self.statuses.values()]
        return min(ends, default=1)

    def wait(self) -> None:
        """Wait until all are over, or until some come to no end though all is done."""
        deadline = None
        while len(self.statuses) < len(self.members):
            self._look()
            if deadline is None and 0 in self.statuses.values():
                deadline = time.monotonic() + _AFTER_THE_FIRST
            if deadline is not None and time.monotonic() > deadline:
                return
            time.sleep(_LOOK_EVERY)

    def end(self) -> None:
        """End those that are not over yet."""
        for by_force in (False, True):
            for number, worker in enumerate(self.members, start=1):
                if number not in self.statuses:
                    worker.stop(by_force=by_force)
            deadline = time.monotonic() + _GRACE
            while len(self.statuses) < len(self.members) and time.monotonic() < deadline:
                self._look(is_ending=True)
                time.sleep(_LOOK_EVERY)

    def _look(self, *, is_ending: bool = False) -> None:
        for number, worker in enumerate(self.members, start=1):
            if number in self.statuses:
                continue
            status = worker.poll()
            for line in worker.messages():
                self._tell(number, line)
            if status is None:
                continue
            self.statuses[number] = status
            if status and not is_ending:
                how = "was lost" if status < 0 else f"has failed with exit status {status}"
                left = len(self.members) - len(self.statuses)
                then = "the others take over what it was doing" if left else "no other is left"
                say(f"worker {number} {how}; {then}.")

    def _tell(self, number: int, line: str) -> None:
        # What all have to say alike, such as why a request is wrong, is told once.
        if line.strip() and self._said.setdefault(line, number) == number:
            say(f"worker {number}: {without_secrets(line)}")
