"""Processes that train one model together, each on a device of its own.

Each process encodes its share of a step's texts. The embeddings are gathered, so that all compute
the same loss, and each one's gradient is that of its own share; the gradients are added up. So any
loss over a whole mini-batch gives the numbers that one process would give.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import nn

from hooktune.errors import FailedAloneError, HooktuneError, RequestError, in_words

# A process that has died must not be waited for much longer than an evaluation takes.
_TIMEOUT: Final = timedelta(minutes=30)
_OTHERS_FAIL_WITHIN: Final = timedelta(seconds=5)
"""What fails in all processes fails in all of them within this time."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together, seen from one of them."""

    rank: int = 0
    size: int = 1
    device: str | None = None
    """The device of this process; None where it is free to choose."""

    @property
    def leads(self) -> bool:
        """Whether this is the process that decides and tracks; the others follow it."""
        return self.rank == 0

    def share(self, value: Any = None) -> Any:
        """Return what the leading process gives; all must call it, in the same order."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    def lead(self, work: Callable[[], Any] | None = None) -> Any:
        """Return what some work gives in the leading process; what it raises there, all raise.

        All must call it, in the same order, as with `share`.

        Args:
            work: What the leading process does alone; the others need not give any.
        """
        if not self.leads or work is None:
            value, told = self.share()
            if told is not None:
                raise told
            return value
        try:
            value = work()
        except Exception as error:
            self.share((None, as_told(error)))
            raise
        self.share((value, None))
        return value

    def gather_rows(self, own: torch.Tensor | None, counts: Sequence[int]) -> torch.Tensor:
        """Return the rows of all processes, those of the first one first.

        A gradient reaches this process's own rows alone.

        Args:
            own: This process's rows, a matrix; None where it has none.
            counts: How many rows each process has.
        """
        if self.size == 1 and own is not None:
            return own
        device = torch.device(self.device or "cpu") if own is None else own.device
        width = torch.tensor(0 if own is None else own.shape[1], device=device)
        dist.all_reduce(width, dist.ReduceOp.MAX)
        padded = torch.zeros(max(counts), int(width), device=device)
        if own is not None:
            padded[: len(own)] = own.detach()
        all_rows = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(all_rows, padded)
        parts = [rows[:count] for rows, count in zip(all_rows, counts, strict=True)]
        if own is not None:
            parts[self.rank] = own
        return torch.cat(parts)

    def add_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Add up each weight's gradient over all processes; one that none of them has stays so."""
        if self.size == 1:
            return
        listed = list(weights)
        has = torch.tensor([weight.grad is not None for weight in listed], dtype=torch.int32)
        has = has.to(listed[0].device)
        dist.all_reduce(has, dist.ReduceOp.MAX)
        touched = [weight for weight, is_any in zip(listed, has.tolist(), strict=True) if is_any]
        if not touched:
            return
        parts = [
            torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in touched
        ]
        joined = torch.cat([part.flatten() for part in parts])
        dist.all_reduce(joined)
        sums = torch.split(joined, [weight.numel() for weight in touched])
        for weight, total in zip(touched, sums, strict=True):
            weight.grad = total.view_as(weight)

    @contextmanager
    def failing_together(self, work: str) -> Iterator[None]:
        """Find out whether a failure is one of all processes, or of this one or another alone.

        Where one has failed alone the others wait for it, or for data that never comes. So the
        failures are told aside, by the store at which the processes have met.

        Args:
            work: What is done, by a name that no other work has; the same in all processes.

        Raises:
            FailedAloneError: Not all have failed, so that the processes are at different steps now.
        """
        try:
            yield
        except Exception as error:
            if self.size > 1:
                self._tell_failure(work, error)
            raise

    def _tell_failure(self, work: str, error: Exception) -> None:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        try:
            store = dist.TCPStore(  # type: ignore[attr-defined]
                host, port, is_master=False, timeout=_OTHERS_FAIL_WITHIN
            )
            first = f"hooktune/{work}/alone"
            if not store.check([first]):
                store.set(f"hooktune/{work}/{self.rank}", "failed")
                everyone = [f"hooktune/{work}/{rank}" for rank in range(self.size)]
                try:
                    store.wait(everyone, _OTHERS_FAIL_WITHIN)
                except dist.DistStoreError:
                    told = f"Process {self.rank} of {self.size} failed alone: {in_words(error)}"
                    store.compare_set(first, "", told)
            if not store.check([first]):
                return
            message = store.get(first).decode()
        except RuntimeError:  # the process that keeps the store has ended
            message = f"Process {self.rank} of {self.size} failed: {in_words(error)}"
        raise FailedAloneError(
            f"{message} All processes end, as they would wait for each other; give the same "
            "command again."
        ) from error


ALONE: Final = ProcessGroup()


def as_told(error: Exception) -> HooktuneError:
    """Return an error as other processes raise it: one that can be sent, whatever it was."""
    return error if isinstance(error, HooktuneError) else HooktuneError(in_words(error))


def is_launched() -> bool:
    """Tell whether `torchrun`, `accelerate launch` or the like has started several processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join_process_group(device: str | None = None) -> ProcessGroup:
    """Join the processes that a launcher has started with this one.

    Args:
        device: `cpu` to train on the processors; by default each process takes an accelerator.

    Raises:
        RequestError: The package accelerate is not installed.
    """
    if not is_launched():
        return ALONE
    try:
        from accelerate import PartialState  # type: ignore[import-untyped]
    except ImportError as error:
        raise RequestError(
            "Training on several devices needs the package accelerate: "
            "pip install 'hooktune[devices]'."
        ) from error
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    state = PartialState(cpu=on_cpu, timeout=_TIMEOUT)
    return ProcessGroup(
        state.process_index, state.num_processes, "cpu" if on_cpu else str(state.device)
    )
