"""What a model's lowest layers make of each text, computed once while they do not change."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from sentence_transformers.util import batch_to_device
from torch import nn

from hooktune.contract.sessions import Ints, Mask
from hooktune.training.layer_states import StatesInFile, open_states, reserve
from hooktune.training.optimizer import transformer_layers
from hooktune.training.shelf import Shelf
from hooktune.training.tokens import Tokens, tokenise

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_SAMPLE: Final = ("a text", "and another text, which is of another length than the first one")
_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, eq=False)
class SplitModel:
    """A model in two parts, which share its weights: its lowest layers, and all above them."""

    lower: "SentenceTransformer"
    """Ends with the lowest layers; what it returns beyond their states means nothing."""
    last: nn.Module
    """The highest of the lowest layers, whose result is what `upper` takes as `inputs_embeds`."""
    upper: "SentenceTransformer"
    layers: int
    """How many layers the whole model has."""
    width: int
    """How many numbers the states have for each token."""

    def states(self, features: dict[str, Any]) -> torch.Tensor:
        """Return what the lowest layers make of the tokens of texts: a tensor of tokens x width."""
        exactly = torch.autocast(self.lower.device.type, enabled=False)
        with _result_of(self.last) as results, torch.no_grad(), exactly:
            # A text may be several rows to the layers, which then differ from those it is given in.
            rows = self.lower[0](dict(features))["attention_mask"]
        return results[-1][rows.bool()]


def split_model(model: "SentenceTransformer", depth: int) -> SplitModel | None:
    """Split a model above its lowest `depth` layers.

    Whether the two parts make a text what the whole model makes of it is tried out, so that no
    list of architectures is needed.

    Returns:
        The parts, or None where the model cannot be split so.
    """
    from sentence_transformers.base.modules import Transformer

    found = transformer_layers(model[0].model) if isinstance(model[0], Transformer) else None
    if depth == 0 or found is None or depth > len(found[1]):
        return None
    name, layers = found
    path = ["0", "model", *name.split(".")]
    upper = _replaced(model, path, nn.ModuleList(layers[depth:]))
    if hasattr(model[0].model, "embeddings"):
        upper = _replaced(upper, ["0", "model", "embeddings"], _GivenStates())
    lower = _replaced(model, path, nn.ModuleList(layers[:depth]))
    try:
        width = _width_if_equal(
            model, parts := SplitModel(lower, layers[depth - 1], upper, len(layers), 0)
        )
    except Exception as error:  # whatever an architecture makes of it
        logger.debug("the model cannot be split above layer %d: %s", depth, error)
        return None
    return None if width is None else replace(parts, width=width)


def _width_if_equal(model: "SentenceTransformer", parts: SplitModel) -> int | None:
    """Return the width of the states, or None where the parts differ from the whole."""
    tokens = tokenise(model, [*_SAMPLE], "document")
    if tokens is None:
        return None
    features = batch_to_device(tokens.padded(np.arange(len(_SAMPLE))), model.device)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            whole = model(dict(features))["sentence_embedding"]
            states, mask = parts.states(features), features["attention_mask"]
            rows = states.new_zeros(*mask.shape, states.shape[-1])
            rows[mask.bool()] = states
            given = {**tokens.constants, "attention_mask": mask, "inputs_embeds": rows}
            split = parts.upper(given)["sentence_embedding"]
    finally:
        for module, mode in modes:
            module.training = mode
    is_equal = torch.allclose(whole, split, atol=_TOLERANCE, rtol=_TOLERANCE)
    return states.shape[-1] if is_equal else None


def same_lowest_layers(
    model: "SentenceTransformer", other: "SentenceTransformer", depth: int
) -> bool:
    """Tell whether two models have the same weights below and in their lowest `depth` layers."""
    one, two = (_lowest_weights(given, depth) for given in (model, other))
    return one.keys() == two.keys() and all(
        one[name].shape == two[name].shape
        and torch.equal(one[name], two[name].to(one[name].device))
        for name in one
    )


def _lowest_weights(model: "SentenceTransformer", depth: int) -> dict[str, torch.Tensor]:
    transformer = getattr(model[0], "model", None)
    found = None if transformer is None else transformer_layers(transformer)
    if transformer is None or found is None:
        return {}
    name, _ = found
    above = tuple(f"{name}.{number}." for number in range(depth, len(found[1])))
    return {
        path: weight
        for path, weight in transformer.state_dict().items()
        if path.startswith((f"{name}.", "embeddings.")) and not path.startswith(above)
    }


class LayerCache:
    """The states of a column's texts above the lowest layers of a model.

    Args:
        tokens: The texts.
        width: How many numbers there are for each token.
        device: As for `open_states`.

    Raises:
        OSError: They fit neither the memory budget nor the temporary folder.
    """

    def __init__(self, tokens: Tokens, width: int, device: torch.device) -> None:
        self._tokens = tokens
        self._is_known: Mask = np.zeros(len(tokens.lengths), dtype=bool)
        self._states = open_states(tokens, width, device)

    @classmethod
    def shared(cls, tokens: Tokens, width: int, shelf: Shelf, name: str) -> "LayerCache":
        """Return one whose states all workers of this machine read, whoever has computed them.

        Args:
            tokens: The texts.
            width: How many numbers there are for each token.
            shelf: Where the states are kept.
            name: Tells the texts and the depth.

        Raises:
            OSError: They do not fit the disk.
        """
        cache = cls.__new__(cls)
        cache._tokens = tokens
        with shelf.alone(name) as path:
            path.touch()
            with path.open("rb+") as states:
                cache._states = StatesInFile(tokens, width, states.fileno())
            known = path.with_suffix(".known")
            with known.open("ab+") as file:
                reserve(file.fileno(), max(len(tokens.lengths), 1))
        cache._is_known = np.memmap(known, np.bool_, "r+", shape=(max(len(tokens.lengths), 1),))
        return cache

    def features(self, model: SplitModel, rows: Ints) -> dict[str, Any]:
        """Return some texts as the upper part of a split model takes them, on whatever device."""
        missing = rows[~self._is_known[rows]]
        if len(missing):
            self._compute(model, missing)
        _, is_token = self._tokens.places(rows)
        given = {
            "inputs_embeds": self._states.padded(rows),
            "attention_mask": torch.from_numpy(is_token.astype(np.int64)),
        }
        return self._tokens.constants | given

    def _compute(self, model: SplitModel, rows: Ints) -> None:
        states = model.states(batch_to_device(self._tokens.padded(rows), model.lower.device))
        self._states.keep(rows, states.float())
        self._is_known[rows] = True


class _GivenStates(nn.Module):
    """Stands where a transformer makes embeddings, and passes on those that it is given."""

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        given: torch.Tensor = next(
            value
            for value in (*args, *kwargs.values())
            if torch.is_tensor(value) and value.is_floating_point()
        )
        return given


def _replaced(module: Any, path: list[str], part: nn.Module) -> Any:
    """Return a module with another part somewhere in it; all else is shared."""
    changed = copy.copy(module)
    head, *rest = path
    inner = _replaced(module._modules[head], rest, part) if rest else part
    changed._modules = {**module._modules, head: inner}
    return changed


@contextmanager
def _result_of(layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    results: list[torch.Tensor] = []

    def keep(_module: nn.Module, _args: object, result: Any) -> None:
        results.append(result[0] if isinstance(result, tuple) else result)

    handle = layer.register_forward_hook(keep)
    try:
        yield results
    finally:
        handle.remove()
