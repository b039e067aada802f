"""What a backward pass needs of a forward pass, without what is computed again in no time."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch.autograd.graph import Node, saved_tensors_hooks
from torch.nn.functional import gelu

_Held = torch.Tensor | Callable[[], torch.Tensor]


def holding_less() -> AbstractContextManager[None]:
    """Hold no result of GELU or of layer normalisation for the backward pass, but what it is of.

    That is held anyway, as their own gradients need it. The results are a third of all that a
    layer of BERT holds, and computing them again takes no time beside its matrix products.
    """
    return saved_tensors_hooks(_held, _given_back)


def _held(tensor: torch.Tensor) -> _Held:
    node = tensor.grad_fn
    if node is None:
        return tensor
    if node.name() in _ONLY_ANOTHER_SHAPE:
        node = node.next_functions[0][0]
    if node is None or node.name() not in _AGAIN:
        # What a node holds of its own result would hold the node, and both would stay for ever
        # where no backward pass goes through it, as through a pooler that nobody asks.
        return tensor.detach()
    return partial(_in_shape, _AGAIN[node.name()], node, tensor.shape)


def _given_back(held: _Held) -> torch.Tensor:
    return held if torch.is_tensor(held) else held()


def _in_shape(again: Callable[[Any], torch.Tensor], node: Node, shape: torch.Size) -> torch.Tensor:
    return again(node).view(shape)


def _gelu(node: Any) -> torch.Tensor:
    return gelu(node._saved_self, approximate=node._saved_approximate)


def _layer_norm(node: Any) -> torch.Tensor:
    normalised = (node._saved_input - node._saved_result1) * node._saved_result2
    return torch.addcmul(node._saved_bias, normalised, node._saved_weight)


_ONLY_ANOTHER_SHAPE = {"ViewBackward0", "UnsafeViewBackward0"}
_AGAIN: dict[str, Callable[[Any], torch.Tensor]] = {
    "GeluBackward0": _gelu,
    "NativeLayerNormBackward0": _layer_norm,
}
