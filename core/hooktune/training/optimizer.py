"""What of a model training changes, and how fast: frozen layers, learning rates, warm-up."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from hooktune.errors import RequestError
from hooktune.training.process_group import ProcessGroup

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.active_run import ActiveRun
    from hooktune.contract.params import TrainingParams

FrozenLayers = int | Literal["half"]


def lowest_layers(model: "SentenceTransformer", count: FrozenLayers) -> list[nn.Module]:
    """Return the embeddings and the lowest `count` layers of each of a model's transformers.

    With `half`, the lower half of the layers of each; a model without transformers has none.

    Raises:
        RequestError: The model has no transformer, or one with fewer layers.
    """
    from sentence_transformers.base.modules import Transformer

    if count == 0:
        return []
    transformers = [module for module in model.modules() if isinstance(module, Transformer)]
    if not transformers and count != "half":
        raise RequestError(f"frozen_layers is {count}, but the model has no transformer layers.")
    lowest: list[nn.Module] = []
    for tower in (each for module in transformers for each in _towers(module.auto_model)):
        found = transformer_layers(tower)
        layers = list(found[1]) if found else []
        frozen_count = len(layers) // 2 if count == "half" else count
        if frozen_count > len(layers):
            raise RequestError(
                f"frozen_layers is {count}, but the model has {len(layers)} transformer layers."
            )
        above = {id(module) for layer in layers[frozen_count:] for module in layer.modules()}
        lowest += [
            module
            for name, module in tower.named_modules()
            if id(module) not in above
            and (name == "embeddings" or isinstance(module, nn.Embedding))
        ]
        lowest += layers[:frozen_count]
    return lowest


def _towers(model: nn.Module) -> list[nn.Module]:
    """Return the transformers that a model consists of, such as CLIP's for texts and for images."""
    if transformer_layers(model):
        return [model]
    return [child for child in model.children() if transformer_layers(child)] or [model]


def frozen_layer_count(model: "SentenceTransformer", count: FrozenLayers) -> int:
    """Return how many layers a parameter `frozen_layers` means in the transformer of a model.

    What `half` means is 0 for a model that consists of several, or of none.
    """
    if count != "half":
        return count
    found = transformer_layers(getattr(model[0], "model", None) or nn.Identity())
    return len(found[1]) // 2 if found else 0


def transformer_layers(transformer: nn.Module) -> tuple[str, nn.ModuleList] | None:
    """Return a transformer's layers and the name of their list within it.

    They are as many modules in a list as its config tells; None where there is no such list.
    """
    count = getattr(getattr(transformer, "config", None), "num_hidden_layers", 0)
    for name, module in transformer.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, module
    return None


@contextmanager
def frozen(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Keep the weights of modules from being trained, and afterwards free those it has bound."""
    bound = [weight for module in modules for weight in module.parameters() if weight.requires_grad]
    for weight in bound:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in bound:
            weight.requires_grad_(True)


def adam_w(model: "SentenceTransformer", params: "TrainingParams") -> torch.optim.AdamW:
    """Make AdamW over a model's trainable weights.

    Biases and the weights of normalisation layers do not decay. The learning rate of each group of
    weights is also kept as its `peak`, for `set_learning_rate`.

    Raises:
        RequestError: A learning rate of one side is given for a model whose sides are one, or
            nothing is left to train.
    """
    rates = _learning_rates(model, params)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for weight in model.parameters():
        if weight.requires_grad:
            decay = params.weight_decay if weight.ndim > 1 else 0.0
            rate = rates.get(id(weight), params.learning_rate)
            groups.setdefault((rate, decay), []).append(weight)
    if not groups:
        raise RequestError("No weight of the model is left to train: lower frozen_layers.")
    return torch.optim.AdamW(
        (
            {"params": weights, "lr": rate, "peak": rate, "weight_decay": decay}
            for (rate, decay), weights in groups.items()
        ),
        fused=True,
    )


def _learning_rates(model: "SentenceTransformer", params: "TrainingParams") -> dict[int, float]:
    """Return the learning rate of each weight that one side of an asymmetric model has alone."""
    from sentence_transformers.base.modules import Router

    given = {"query": params.query_learning_rate, "document": params.item_learning_rate}
    if all(rate is None for rate in given.values()):
        return {}
    router = next((module for module in model.modules() if isinstance(module, Router)), None)
    if router is None or not all(route in router.sub_modules for route in given):
        raise RequestError(
            "query_learning_rate and item_learning_rate are for an asymmetric model, a Router with "
            "the routes 'query' and 'document'. This model encodes both by the same weights: give "
            "learning_rate alone."
        )
    weights = {
        route: {id(weight) for weight in router.sub_modules[route].parameters()} for route in given
    }
    shared = weights["query"] & weights["document"]
    return {
        weight: rate
        for route, rate in given.items()
        if rate is not None
        for weight in weights[route] - shared
    }


def set_learning_rate(
    optimizer: torch.optim.Optimizer, step: int, steps: int, warmup_ratio: float
) -> None:
    """Set the learning rates for a step, from 1: a linear rise to their peaks, then a linear fall.

    Args:
        optimizer: What `adam_w` made.
        step: The step that comes next.
        steps: How many steps there are altogether.
        warmup_ratio: The share of them in which the rates rise.
    """
    warmup = math.ceil(warmup_ratio * steps)
    factor = step / warmup if step <= warmup else (steps - step + 1) / (steps - warmup)
    for weights in optimizer.param_groups:
        weights["lr"] = weights["peak"] * factor


def gradient_step(
    run: "ActiveRun",
    optimizer: torch.optim.Optimizer,
    loss: torch.Tensor,
    step: int,
    steps: int,
    params: "TrainingParams",
) -> None:
    """Add the gradient of a mini-batch's loss, and change the weights where that is due.

    They change after `params.accumulated_mini_batches` steps and after the last one, by the mean of
    the gradients since the last change, shortened to `params.max_grad_norm`. All processes of a run
    must call it: their gradients are added up.

    Args:
        run: The run at work.
        optimizer: What `adam_w` made.
        loss: One number; without a gradient it changes nothing.
        step: The step, from 1.
        steps: How many steps there are altogether.
        params: The two named.
    """
    accumulated = params.accumulated_mini_batches
    first = (step - 1) // accumulated * accumulated + 1
    last = min(first + accumulated - 1, steps)
    if loss.requires_grad:  # otherwise nothing of this mini-batch counted
        (loss / (last - first + 1)).backward()  # type: ignore[no-untyped-call]
    if step < last:
        return
    weights = [weight for given in optimizer.param_groups for weight in given["params"]]
    ProcessGroup(run.rank, run.world_size, run.device).add_gradients(weights)
    if all(weight.grad is None for weight in weights):
        return
    nn.utils.clip_grad_norm_(weights, params.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()


@contextmanager
def training_mode(model: "SentenceTransformer", params: "TrainingParams") -> Iterator[None]:
    """Train a model above its frozen layers, with dropout only where `params` asks for it.

    Afterwards the model is in evaluation mode, without gradients, and what was frozen is free.

    Raises:
        RequestError: `params.frozen_layers` does not fit the model.
    """
    lowest = lowest_layers(model, params.frozen_layers)
    with frozen(lowest):
        model.train(params.dropout)
        for module in lowest:
            module.eval()
        try:
            yield
        finally:
            model.eval()
            model.zero_grad()
