"""What the benchmarks share: the machine in words, costs, processes of their own, and tables."""

import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

VERSIONS = ("hooktune", "torch", "transformers", "sentence-transformers", "mlflow", "numpy")


@dataclass(frozen=True)
class Cost:
    """What some work took, in seconds; those of the processor are of all threads and children."""

    cpu: float = 0.0
    wall: float = 0.0

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.cpu - other.cpu, self.wall - other.wall)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.cpu + other.cpu, self.wall + other.wall)


def now() -> Cost:
    """Return what this process has taken; its wall seconds count from some fixed moment."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return Cost(sum(usage.ru_utime + usage.ru_stime for usage in used), time.monotonic())


@dataclass
class Phases:
    """Tells the parts of a process apart; what ran before it was made is of the first part."""

    costs: dict[str, Cost] = field(default_factory=dict)
    _last: Cost = field(default_factory=lambda: Cost(0.0, time.monotonic()))

    def end(self, name: str) -> None:
        """Count what was used since the last call for this phase."""
        present = now()
        self.costs[name] = self.costs.get(name, Cost()) + (present - self._last)
        self._last = present


@dataclass
class Pace:
    """Takes note of the steps of a training, and says when it has used up its time.

    Args:
        cpu_budget: How many CPU seconds the training may take.
        step_budget: How many steps it may take.
    """

    cpu_budget: float = math.inf
    step_budget: float = math.inf
    marks: list[Cost] = field(default_factory=list)
    """What the process had used at the start, and when each step was noted."""

    def start(self) -> None:
        """Begin to count."""
        self.marks = [now()]

    def step(self) -> None:
        """Take note of a step."""
        self.marks.append(now())

    @property
    def steps(self) -> int:
        """How many steps were noted."""
        return len(self.marks) - 1

    @property
    def over(self) -> bool:
        """Whether the training has to end."""
        return self.steps >= self.step_budget or (now() - self.marks[0]).cpu >= self.cpu_budget

    def after(self, steps: int) -> Cost:
        """Return the cost of all steps after so many, between like moments of a step."""
        return self.marks[-1] - self.marks[steps]


@dataclass
class Spent:
    """Wall and CPU seconds of one thread, by what they were spent on."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    _is_counting: bool = False

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Count what is done; what is done inside of it counts once."""
        if self._is_counting:
            yield
            return
        self._is_counting = True
        started, started_cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self._is_counting = False
            spent, spent_cpu = time.perf_counter() - started, time.thread_time() - started_cpu
            self.seconds[what] = self.seconds.get(what, 0.0) + spent
            self.cpu[what] = self.cpu.get(what, 0.0) + spent_cpu


def cost_of_process(command: Sequence[str], **options: Any) -> tuple[Cost, int]:
    """Run a command; return what it and its children took, and its greatest memory in bytes.

    Args:
        command: The command; it must end well.
        options: As for `subprocess.Popen`.
    """
    started = time.monotonic()
    process = subprocess.Popen(command, **options)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}.")
    return Cost(used.ru_utime + used.ru_stime, wall), peak_memory(used)


def cost_of_part(work: Callable[[], object]) -> tuple[Cost, float]:
    """Do a part in this process, made for it; return what it took, and the peak memory in GB.

    The seconds of the processor are of the whole process, imports included.
    """
    started = time.perf_counter()
    work()
    cost = Cost(time.process_time(), time.perf_counter() - started)
    return cost, peak_memory(resource.getrusage(resource.RUSAGE_SELF)) / 1e9


def peak_memory(used: resource.struct_rusage) -> int:
    """Return the greatest resident memory of a process, in bytes."""
    # Linux counts in units of 1,024 bytes, macOS in bytes.
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_own_process(script: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run a script with `--report FILE`, and return the JSON that it wrote there.

    To it are added `process`, the cost of the whole process with its children, and `peak`, its
    greatest resident memory in bytes.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        cost, peak = cost_of_process([sys.executable, script, *arguments, "--report", str(report)])
        written: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return {**written, "process": asdict(cost), "peak": peak}


def median(values: Iterable[float | None]) -> float:
    """Return the median of the numbers there are, NaN for none."""
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    return statistics.median(numbers) if numbers else math.nan


def print_machine(threads: int | None = None) -> None:
    """Print what a measurement depends on beside the code: machine, versions, threads, load."""
    names = [f"{name} {version(name)}" for name in VERSIONS]
    print(f"{_processor()}, {os.cpu_count()} cores; {platform.system()} {platform.release()}")
    print(f"Python {platform.python_version()}, {', '.join(names)}")
    if threads is None:
        import torch

        threads = torch.get_num_threads()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{threads} threads, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')}; load {load}"
    )
    print(flush=True)


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    return platform.processor() or platform.machine()


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows that have the same columns as a Markdown table, ready for RESULTS.md."""
    cells = [[*rows[0]], *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    print("\n".join([lines[0], rule, *lines[1:]]), end="\n\n", flush=True)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    return (
        f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
    )
