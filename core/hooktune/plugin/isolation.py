"""Plugins imported in a Python of their own each, where a faulty one can do no harm.

A plugin that ends the interpreter or hangs when it is imported would take down whatever imports it.
So `hooktune plugins --check` imports none itself, and a run has the chosen method and the
extensions of other distributions checked here before it imports them. Nothing is kept of that: a
plugin may behave differently the next time, and a run writes only where its user said. The checks
go on while torch is being imported, and cost a run little.
"""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Literal, Self

from hooktune.errors import PluginRequestError, RequestError
from hooktune.plugin.catalogue import Catalogue, PluginEntry, how_to_block, load_plugin
from hooktune.plugin.checks import Implementation, Plugin, implementations

TIMEOUT_VARIABLE: Final = "HOOKTUNE_CHECK_TIMEOUT"
_DEFAULT_TIMEOUT: Final = 60.0

CheckStatus = Literal["loaded", "failed", "blocked", "refused"]

# A check starts before anything of hooktune can be found, if only `sys.path` tells where it is.
_PROGRAM: Final = (
    "import json, sys\n"
    "request = json.load(sys.stdin)\n"
    "sys.path[:] = request['path']\n"
    "from hooktune.plugin.isolation import answer\n"
    "answer(request['entry'])\n"
)
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class PluginVerdict:
    """What came of importing one plugin."""

    entry: PluginEntry
    status: CheckStatus
    reason: str = ""
    """Why it failed, or is blocked or refused."""
    hooks: tuple[str, ...] = ()
    """The hooks that it implements."""
    wraps: tuple[str, ...] = ()
    """The hooks that it puts a wrapper around."""


@dataclass(eq=False)
class PluginChecks:
    """Checks under way: use it as a context manager, at whose end none is left running.

    They start when it is entered, as many at once as there are processors.

    Args:
        entries: The plugins to check; one that is blocked or refused is not imported.
        timeout: How many seconds the import of one plugin may take; None for what the environment
            variable `HOOKTUNE_CHECK_TIMEOUT` says, or 60. One that imports torch needs several.
    """

    entries: Iterable[PluginEntry]
    timeout: float | None = None
    _verdicts: dict[PluginEntry, PluginVerdict] = field(default_factory=dict)
    _waiting: list[PluginEntry] = field(default_factory=list)
    _running: list["_Check"] = field(default_factory=list)
    _seconds: float = _DEFAULT_TIMEOUT

    def __enter__(self) -> Self:
        self.entries = tuple(self.entries)
        self._seconds = _timeout() if self.timeout is None else self.timeout
        for entry in self.entries:
            if entry.status == "available":
                self._waiting.append(entry)
            else:
                self._verdicts[entry] = PluginVerdict(entry, entry.status, entry.reason)
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for check in self._running:
            check.end()

    def verdicts(self) -> tuple[PluginVerdict, ...]:
        """Wait for all checks, and return a verdict for each plugin, in the order given."""
        while self._running:
            for check in list(self._running):
                verdict = check.verdict()
                if verdict is not None:
                    self._running.remove(check)
                    self._verdicts[check.entry] = verdict
            self._start()
            time.sleep(_POLL_SECONDS)
        return tuple(self._verdicts[entry] for entry in self.entries)

    def _start(self) -> None:
        while self._waiting and len(self._running) < (os.cpu_count() or 1):
            self._running.append(_Check(self._waiting.pop(0), self._seconds))


def check_plugins(
    entries: Iterable[PluginEntry], timeout: float | None = None
) -> tuple[PluginVerdict, ...]:
    """Import each plugin in a Python of its own and say what came of it.

    Args:
        entries: The plugins; one that is blocked or refused is not imported.
        timeout: How many seconds the import of one plugin may take; None for what the environment
            variable `HOOKTUNE_CHECK_TIMEOUT` says, or 60. One that imports torch needs several.
    """
    with PluginChecks(entries, timeout) as checks:
        return checks.verdicts()


def refuse_failed(catalogue: Catalogue, verdicts: Iterable[PluginVerdict]) -> Catalogue:
    """Return the catalogue with the plugins that failed their check refused."""
    failed = {verdict.entry: verdict.reason for verdict in verdicts if verdict.status == "failed"}
    return Catalogue(
        tuple(
            replace(entry, status="refused", reason=failed[entry]) if entry in failed else entry
            for entry in catalogue.entries
        )
    )


def _timeout() -> float:
    text = os.environ.get(TIMEOUT_VARIABLE) or str(_DEFAULT_TIMEOUT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < math.inf:
        raise RequestError(f"{TIMEOUT_VARIABLE}={text} is no number of seconds above 0.")
    return seconds


class _Check:
    """One plugin being imported by a process of its own."""

    def __init__(self, entry: PluginEntry, timeout: float) -> None:
        self.entry = entry
        self._timeout = timeout
        # Files, since a pipe that nobody reads meanwhile would block a talkative plugin.
        self._stdout = tempfile.TemporaryFile()  # noqa: SIM115
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        request = tempfile.TemporaryFile()  # noqa: SIM115
        request.write(json.dumps({"path": sys.path, "entry": asdict(entry)}).encode())
        request.seek(0)
        with request:
            # In a session of its own, it can be ended with all that it has started.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM], stdin=request, stdout=self._stdout,
                stderr=self._stderr, start_new_session=True,
            )  # fmt: skip
        self._started = time.monotonic()

    def verdict(self) -> PluginVerdict | None:
        """Return the verdict, or None while the plugin is still being imported."""
        over = self._process.poll() is not None
        if not over and time.monotonic() - self._started < self._timeout:
            return None
        stdout, stderr, status = (
            self._read(self._stdout),
            self._read(self._stderr),
            self._process.poll(),
        )
        self.end()
        if stdout:
            given = json.loads(stdout)
            hooks, wraps = tuple(given["hooks"]), tuple(given["wraps"])
            return PluginVerdict(self.entry, given["status"], given["reason"], hooks, wraps)
        if status is None:
            problem = f"is still not imported after {self._timeout:g} seconds"
        elif status < 0:
            problem = f"kills the Python that imports it ({signal.Signals(-status).name})"
        else:
            problem = f"ends the Python that imports it, with exit status {status}"
        last_line = stderr.strip().splitlines()[-1:]
        said = f" It wrote last: {last_line[0]}" if last_line else ""
        remedy = f"Mend it, uninstall it, or {how_to_block(self.entry)}."
        return PluginVerdict(self.entry, "failed", f"it {problem}. {remedy}{said}")

    def end(self) -> None:
        """End the process and whatever it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._stdout.close()
        self._stderr.close()

    def _read(self, file: Any) -> str:
        file.seek(0)
        return str(file.read().decode(errors="replace"))


def answer(values: dict[str, Any]) -> None:
    """Import a plugin and write the verdict to standard output: what a check's process does.

    Args:
        values: The fields of its `PluginEntry`.
    """
    # The plugin must not be able to write into the answer.
    channel = os.dup(1)
    os.dup2(2, 1)
    entry = PluginEntry(**values)
    status, reason = "loaded", ""
    found: tuple[Implementation, ...] = ()
    try:
        loaded = load_plugin(entry)
        plugin = Plugin(entry.name, entry.kind, loaded, entry.distribution, entry.version)
        found = implementations(plugin)
    except PluginRequestError as error:
        status, reason = "failed", f"it {str(error).removeprefix(entry.label).strip()}"
    verdict = {
        "status": status,
        "reason": reason,
        "hooks": sorted({impl.hook for impl in found if not impl.is_wrapper}),
        "wraps": sorted({impl.hook for impl in found if impl.is_wrapper}),
    }
    os.write(channel, json.dumps(verdict).encode())
    # What a plugin does when Python ends is no part of the check.
    os._exit(0)
