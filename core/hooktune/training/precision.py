"""In which numbers a training step multiplies matrices."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


def gains_from_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies matrices of bfloat16 faster than those of float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _processor_has_bfloat16()


def _processor_has_bfloat16() -> bool:
    # Emulation is slower than float32, so what the processor itself has is asked for.
    read: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = read()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


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
