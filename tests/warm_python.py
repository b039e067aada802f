"""Python in a process of its own, where what takes seconds to import is imported already.

Such a process is a fork of one that has imported other people's libraries, and nothing of
hooktune. It takes the arguments that `python` takes: `-m module`, `-c code` or a file.
"""

import atexit
import importlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Self

from ports import linked_environments

# Of a process that has trained, a fork may wait forever for threads that it has not.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "mlflow.sentence_transformers",
        "mlflow.store.tracking.sqlalchemy_store",
        "sentence_transformers",
        "transformers.models.bert.modeling_bert",
    ]
)
_STARTED: "set[WarmPython]" = set()


class WarmPython:
    """A process that runs Python; its methods are those of `subprocess.Popen`, with text.

    Use it in a `with` statement, or close it, which kills what is not over.

    Args:
        arguments: What would stand behind `python`.
        cwd: The folder in which it runs; this process's own if None.
        env: Its whole environment; this process's own if None.
    """

    def __init__(
        self,
        *arguments: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.args = [*map(str, arguments)]
        self._out, self._err = (
            os.fdopen(os.memfd_create(name), "w+", encoding="utf-8", errors="replace")
            for name in ("out", "err")
        )
        self._process = _FORKS.Process(
            target=_run,
            args=(
                self.args,
                str(cwd or Path.cwd()),
                dict(os.environ if env is None else env),
                *(DupFd(file.fileno()) for file in (self._out, self._err)),
            ),
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        _STARTED.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Kill it if it is not over, and forget what it has printed."""
        self.kill()
        self.wait()
        for file in (self._out, self._err):
            file.close()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        _STARTED.discard(self)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and return all that it has printed until now."""
        self.wait(timeout)
        return self.printed(), self.said()

    def completed(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """Wait for its end, and return what came of it."""
        status = self.wait(timeout)
        return subprocess.CompletedProcess(self.args, status, self.printed(), self.said())

    def printed(self) -> str:
        """Return what stands in its standard output until now."""
        self._out.seek(0)
        return self._out.read()

    def said(self) -> str:
        """Return what stands in its standard error until now."""
        self._err.seek(0)
        return self._err.read()


def run_python(
    *arguments: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Run Python to its end, as `subprocess.run` does where it captures the output as text."""
    with WarmPython(*arguments, cwd=cwd, env=env) as process:
        return process.completed(timeout)


def run_linked(
    *arguments: object, processes: int = 2, timeout: float = 300
) -> list[subprocess.CompletedProcess[str]]:
    """Run Python in processes that are told about each other as `torchrun` does it."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(WarmPython(*arguments, env=os.environ | environment))
            for environment in linked_environments(processes)
        ]
        return [each.completed(timeout) for each in started]


@atexit.register
def _kill_all() -> None:
    # Otherwise the end of this process would wait for theirs.
    for process in [*_STARTED]:
        process.kill()


def _run(arguments: list[str], cwd: str, env: dict[str, str], out: DupFd, err: DupFd) -> None:
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), out.detach(), err.detach())):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", errors="backslashreplace", buffering=1, closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    tempfile.tempdir = None
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    importlib.invalidate_caches()
    try:
        _run_as_main(arguments)
    finally:
        atexit._run_exitfuncs()


def _run_as_main(arguments: list[str]) -> None:
    kind, *rest = arguments
    if kind == "-m":
        sys.argv = rest
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.path.insert(0, "")
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(kind).parent))
        runpy.run_path(kind, run_name="__main__")
