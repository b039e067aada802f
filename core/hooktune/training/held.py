"""What a backward pass needs of a forward pass, in less than half of the memory."""

import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

import torch
from torch.autograd.graph import Node, saved_tensors_hooks
from torch.nn.functional import gelu

from hooktune.processes import give_back_memory

_Held = torch.Tensor | Callable[[], torch.Tensor]
_Half = tuple[torch.Tensor, "_Block"]

# Half precision keeps 11 bits of a number up to this size.
_LARGEST: Final = 6e4
_HELD: Final = {torch.float32: torch.half, torch.bfloat16: torch.bfloat16}
"""What is held on a CPU, and as what."""
_BLOCK: Final = 16 * 1024**2
"""How many numbers lie in one block."""
_BLOCKS_KEPT: Final = 6
"""How many blocks are kept for the next step; more of them are given back."""
_CLOSE_GAPS_EVERY: Final = 0.25  # seconds
_SMALL: Final = 4_096
"""Tensors of fewer numbers stay as they are."""


class _Block:
    """Memory that is in use as long as somebody refers to it."""

    def __init__(self, numbers: torch.Tensor) -> None:
        self.numbers = numbers
        self.used = 0


class HeldTensors:
    """Holds for the backward pass what the forward passes of a training make.

    - The results of GELU and of layer normalisation are computed again from what they are of, which
      is held anyway, as their own gradients need it. They are a third of all that a layer of BERT
      holds, and computing them takes no time beside its matrix products.
    - What autocast makes of a weight is held once, and not for each group of texts.
    - All else is held in half precision on a CPU, by which a gradient changes by about a thousandth
      of itself at most. What is too large for that stays as it is.
    - It lies in large blocks, some of which the next step uses again. Among what a layer makes and
      frees at once it would leave gaps that nothing later fits into, and memory that is new to a
      process takes longer to get than to fill. The gaps that are left, as groups of texts are of
      many lengths, are given back four times a second.
    """

    def __init__(self) -> None:
        self._blocks: list[tuple[torch.Tensor, weakref.ref[_Block]]] = []
        self._block = _Block(torch.empty(0, dtype=torch.half))
        self._last: tuple[torch.Tensor, int, _Half | None] | None = None
        """What was held last, the version of it, and the same in half precision."""
        self._closed = 0.0
        """When the gaps were given back that layers leave."""
        self._weights = weakref.WeakValueDictionary[tuple[object, ...], torch.Tensor]()
        """What autocast made of each weight, as long as a backward pass needs it."""

    def holding(self) -> AbstractContextManager[None]:
        """Hold what is made in this context."""
        return saved_tensors_hooks(self._hold, _given_back)

    def _hold(self, tensor: torch.Tensor) -> _Held:
        node = tensor.grad_fn
        if node is None and tensor.requires_grad:
            return tensor
        if node is not None and node.name() in _ONLY_ANOTHER_SHAPE:
            node = node.next_functions[0][0]
        if node is not None and node.name() in _AGAIN:
            return partial(_in_shape, _AGAIN[node.name()], node, tensor.shape)
        # What a node holds of its own result would hold the node, and both would stay for ever
        # where no backward pass goes through it, as through a pooler that nobody asks.
        alone = tensor.detach()
        if (weight := _weight_of(node)) is not None:
            return self._of_weight(weight, alone)
        # To look at its numbers, an accelerator would have to be waited for.
        is_held = tensor.dtype in _HELD and tensor.device.type == "cpu"
        if not is_held or tensor.numel() < _SMALL:
            return alone
        flat = _in_order_of_memory(alone)
        half = None if flat is None else self._halved(flat, tensor._version)
        if half is None:
            return alone
        return partial(self._laid_out, half, tensor.shape, tensor.stride(), tensor.dtype)

    def _of_weight(self, weight: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
        if made.data_ptr() == weight.data_ptr():
            return made
        key = id(weight), weight._version, made.dtype, made.shape, made.stride()
        return self._weights.setdefault(key, made)

    def _halved(self, flat: torch.Tensor, version: int) -> _Half | None:
        # The same states are often held several times, in one shape or another.
        if self._last is not None:
            last, of_version, half = self._last
            if (last.data_ptr(), len(last), of_version) == (flat.data_ptr(), len(flat), version):
                return half
        half = self._in_half_precision(flat)
        self._last = flat, version, half
        return half

    def _in_half_precision(self, flat: torch.Tensor) -> _Half | None:
        if flat.dtype == torch.float32:
            low, high = torch.aminmax(flat)
            if not (low > -_LARGEST and high < _LARGEST):
                return None
        self._close_gaps()
        block = self._block_for(len(flat))
        place = block.numbers[block.used :][: len(flat)].view(_HELD[flat.dtype])
        block.used += len(flat)
        return place.copy_(flat), block

    def _laid_out(
        self, half: _Half, shape: torch.Size, strides: tuple[int, ...], dtype: torch.dtype
    ) -> torch.Tensor:
        self._close_gaps()
        return half[0].to(dtype).as_strided(shape, strides)

    def _close_gaps(self) -> None:
        if time.monotonic() > self._closed + _CLOSE_GAPS_EVERY:
            give_back_memory()
            self._closed = time.monotonic()

    def _block_for(self, count: int) -> _Block:
        if len(self._block.numbers) - self._block.used < count:
            free = (of for of, block in self._blocks if block() is None and len(of) >= count)
            numbers = next(free, None)
            self._blocks = [each for each in self._blocks if each[0] is not numbers]
            if numbers is None:
                numbers = torch.empty(max(count, _BLOCK), dtype=torch.half)
            self._block = _Block(numbers)
            if len(self._blocks) < _BLOCKS_KEPT:
                self._blocks.append((numbers, weakref.ref(self._block)))
        return self._block


def _weight_of(node: Any) -> torch.Tensor | None:
    """Return the weight that a tensor is, or is made of by transposing and by autocast."""
    for step in _OF_WEIGHTS:
        if node is not None and node.name() == step:
            node = node.next_functions[0][0]
    return getattr(node, "variable", None)


def _in_order_of_memory(tensor: torch.Tensor) -> torch.Tensor | None:
    """Return a tensor's numbers as they lie in memory; None where others lie between them."""
    axes = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    ordered = tensor.permute(axes)
    return ordered.view(-1) if ordered.is_contiguous() else None


def _given_back(held: _Held) -> torch.Tensor:
    return held if torch.is_tensor(held) else held()


def _in_shape(again: Callable[[Any], torch.Tensor], node: Node, shape: torch.Size) -> torch.Tensor:
    return again(node).view(shape)


def _gelu(node: Any) -> torch.Tensor:
    return gelu(node._saved_self, approximate=node._saved_approximate)


def _layer_norm(node: Any) -> torch.Tensor:
    normalised = (node._saved_input - node._saved_result1) * node._saved_result2
    return torch.addcmul(node._saved_bias, normalised, node._saved_weight)


_OF_WEIGHTS = "TBackward0", "ToCopyBackward0"
_ONLY_ANOTHER_SHAPE = {"ViewBackward0", "UnsafeViewBackward0"}
_AGAIN: dict[str, Callable[[Any], torch.Tensor]] = {
    "GeluBackward0": _gelu,
    "NativeLayerNormBackward0": _layer_norm,
}
