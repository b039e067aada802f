"""The weights that a run began with, and the way back to them."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class StartingWeights:
    """Takes a model a part of the way back to the weights that it has now.

    With `kept` of what training has changed, a weight is start + kept x (tuned - start). Such a
    mean of both keeps more of what the model knew of other texts (Wortsman et al. 2022, "Robust
    fine-tuning of zero-shot models"). It is of trainable weights and buffers, those of floating
    point numbers; all others are left as training made them.

    Args:
        model: The starting model, in `training_mode`, before anything has changed.
        kept: The share of the change that is kept, 0 to 1. With 1 nothing is copied.
    """

    def __init__(self, model: "SentenceTransformer", kept: float) -> None:
        self._kept = kept
        self._weights: dict[str, torch.Tensor] = {}
        if kept < 1:
            self._weights = {name: value.clone() for name, value in _changing(model)}

    @contextmanager
    def partly_back(self, model: "SentenceTransformer") -> Iterator[None]:
        """Measure a model as it would be if training ended here; afterwards training goes on."""
        tuned = {name: value.clone() for name, value in _changing(model) if name in self._weights}
        self.bring_back(model)
        try:
            yield
        finally:
            _put(model, tuned)

    def bring_back(self, model: "SentenceTransformer") -> None:
        """Take a model the part of the way back, once and for all."""
        _put(
            model,
            {
                name: torch.lerp(self._weights[name], value, self._kept)
                for name, value in _changing(model)
                if name in self._weights
            },
        )


def _changing(model: "SentenceTransformer") -> Iterator[tuple[str, torch.Tensor]]:
    """Return what training may change, one that is tied to another once."""
    weights = ((name, value) for name, value in model.named_parameters() if value.requires_grad)
    for name, value in chain(weights, model.named_buffers()):
        if value.is_floating_point():
            yield name, value.detach()


def _put(model: "SentenceTransformer", values: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, value in _changing(model):
            if name in values:
                value.copy_(values[name])
