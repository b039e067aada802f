"""What a run keeps so that another process can go on with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

State = tuple[Mapping[str, "torch.Tensor"], Mapping[str, Any]]
"""Tensors by name, and what JSON can hold: all that a training loop needs to go on."""

StateGiver = Callable[[], State]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a run was when its state was kept for the last time."""

    step: int
    """How many steps were done."""
    tensors: Mapping[str, "torch.Tensor"]
    """By name, in the computer's own memory."""
    facts: Mapping[str, Any]
    """JSON values."""
