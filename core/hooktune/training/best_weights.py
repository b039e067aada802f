"""The weights of the best evaluation of a run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from hooktune.contract.metric import MainMetric

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class BestWeights:
    """Keeps the trainable weights of the best evaluation, in the computer's own memory.

    Args:
        main_metric: Says which evaluation is best: `run.main_metric`.
    """

    def __init__(self, main_metric: MainMetric) -> None:
        self._main_metric = main_metric
        self._value: float | None = None
        self.evaluations_since = 0
        """How many evaluations came after the best one."""
        self.weights: dict[str, torch.Tensor] = {}
        """By name; empty where no evaluation had the main metric."""

    def consider(self, model: "SentenceTransformer", metrics: Mapping[str, float]) -> None:
        """Copy a model's weights if its metrics, from `run.evaluate`, are the best so far."""
        value = metrics.get(self._main_metric.name)
        if not self._main_metric.beats(value, self._value):
            self.evaluations_since += 1
            return
        self._value, self.evaluations_since = value, 0
        self.weights = {
            name: weight.detach().to("cpu", copy=True)
            for name, weight in model.named_parameters()
            if weight.requires_grad
        }

    def load_into(self, model: "SentenceTransformer") -> None:
        """Give the best weights to a model; without any it stays as it is."""
        current = dict(model.named_parameters())
        with torch.no_grad():
            for name, weight in self.weights.items():
                current[name].copy_(weight)

    def facts(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it beside the weights, as JSON values."""
        return {"best_value": self._value, "evaluations_since": self.evaluations_since}

    def restore(self, facts: Mapping[str, Any], weights: dict[str, torch.Tensor]) -> None:
        """Go on from what `facts` returned and the weights of that time."""
        self.weights = weights
        self._value = facts["best_value"]
        self.evaluations_since = facts["evaluations_since"]
