"""All that changes while a model is trained: kept in a checkpoint, and put back."""

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from hooktune.contract.checkpoint import Checkpoint, State
from hooktune.training.best_weights import BestWeights

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_TORCH_RANDOM: Final = "random.torch"
_CUDA_RANDOM: Final = "random.cuda."


def gather_state(
    model: "SentenceTransformer",
    optimizer: torch.optim.Optimizer,
    best: BestWeights | None = None,
) -> State:
    """Copy what training has changed so far, for `run.checkpoint`.

    Random states are part of it. Frozen weights are those of the starting model, and are left out.
    Where a `MiniBatchLoader` is follows from the step.

    Args:
        model: The model in training.
        optimizer: Its optimiser.
        best: What the evaluations so far have come to, where the loop chooses among them.
    """
    tensors = {f"model.{name}": value for name, value in _changing(model).items()}
    tensors |= {
        f"gradient.{name}": weight.grad
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }
    if best is not None:
        tensors |= {f"best.{name}": weight for name, weight in best.weights.items()}
    for place, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{place}.{name}": value for name, value in values.items()}
    tensors[_TORCH_RANDOM] = torch.get_rng_state()
    if torch.cuda.is_available():
        states = torch.cuda.get_rng_state_all()
        tensors |= {f"{_CUDA_RANDOM}{place}": state for place, state in enumerate(states)}
    copied = {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()
    }
    python, numpy = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    facts = {} if best is None else best.facts()
    return copied, {**facts, "python_random": python, "numpy_random": _plain(numpy)}


def restore_state(
    checkpoint: Checkpoint | None,
    model: "SentenceTransformer",
    optimizer: torch.optim.Optimizer,
    best: BestWeights | None = None,
) -> int:
    """Put back what `gather_state` copied, random states included.

    Args:
        checkpoint: What `run.resumed()` returned; None for a run that begins now.
        model: The starting model, with the same weights frozen as in `gather_state`.
        optimizer: A new optimiser of this model.
        best: Takes what the evaluations so far had come to.

    Returns:
        How many steps are done; 0 for a run that begins now.
    """
    if checkpoint is None:
        return 0
    changing = _changing(model)
    with torch.no_grad():
        for name, value in _named(checkpoint, "model."):
            changing[name].copy_(value)
    weights = dict(model.named_parameters())
    for name, value in _named(checkpoint, "gradient."):
        weights[name].grad = value.to(weights[name].device)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for path, value in _named(checkpoint, "optimizer."):
        place, _, name = path.partition(".")
        state.setdefault(int(place), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    torch.set_rng_state(checkpoint.tensors[_TORCH_RANDOM])
    for place, value in _named(checkpoint, _CUDA_RANDOM):
        if int(place) < torch.cuda.device_count():
            torch.cuda.set_rng_state(value, int(place))
    version, numbers, gauss = checkpoint.facts["python_random"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(checkpoint.facts["numpy_random"])  # noqa: NPY002
    if best is not None:
        best.restore(checkpoint.facts, dict(_named(checkpoint, "best.")))
    return checkpoint.step


def _changing(model: "SentenceTransformer") -> dict[str, torch.Tensor]:
    """Return the trainable weights and the buffers of a model."""
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - {
        name for name, _ in model.named_parameters()
    }
    return {name: value for name, value in model.state_dict().items() if name not in frozen | tied}


def _named(checkpoint: Checkpoint, prefix: str) -> Iterable[tuple[str, torch.Tensor]]:
    for name, value in checkpoint.tensors.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), value


def _plain(state: Any) -> Any:
    """Return NumPy's random state as JSON holds it."""
    return {**state, "state": {**state["state"], "key": state["state"]["key"].tolist()}}
