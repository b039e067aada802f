"""In which numbers a training step multiplies matrices."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import torch
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

_WORTH_IT: Final = 0.75
"""What bfloat16 takes at most, of the time of float32. Processors are far from it, to one side or
the other, so that the same one decides alike each time."""
_TRIES: Final = 8


def gains_from_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies matrices of bfloat16 faster than those of float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _processor_has_bfloat16() and share_of_bfloat16() < _WORTH_IT


def _processor_has_bfloat16() -> bool:
    # Emulation is slower than float32, so what the processor itself has is asked for.
    read: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = read()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


@cache
def share_of_bfloat16() -> float:
    """Return what the processor takes for a layer's product in bfloat16, of what float32 takes.

    A processor that has instructions for it may still take twice as long: a virtual one whose host
    withholds the units for matrices has slower ones left.
    """
    shapes = (512, 384), (1536, 384)
    kinds = torch.float32, torch.bfloat16
    pairs = [[torch.ones(shape, dtype=kind) for shape in shapes] for kind in kinds]
    fastest = [math.inf, math.inf]
    with torch.no_grad():
        for _ in range(_TRIES):
            for place, pair in enumerate(pairs):
                began = time.perf_counter()
                linear(*pair)
                fastest[place] = min(fastest[place], time.perf_counter() - began)
    return fastest[1] / fastest[0]


@contextmanager
def bfloat16_matrices(device: torch.device) -> Iterator[None]:
    """Let models multiply matrices in bfloat16, by torch's autocast."""
    with torch.autocast(device.type, torch.bfloat16):
        if device.type != "cpu":
            yield
            return
        with _AttentionInFloat32():
            yield


class _AttentionInFloat32(TorchFunctionMode):
    """Computes attention in float32.

    On processors the gradient of torch's fused attention takes up to ten times as long in bfloat16.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function is not scaled_dot_product_attention:
            return function(*args, **kwargs)
        exact = {name: _in_float32(value) for name, value in kwargs.items()}
        with torch.autocast("cpu", enabled=False):
            attended = function(*map(_in_float32, args), **exact)
        return attended.to(torch.bfloat16)


def _in_float32(value: Any) -> Any:
    is_bfloat16 = torch.is_tensor(value) and value.dtype == torch.bfloat16
    return value.float() if is_bfloat16 else value
