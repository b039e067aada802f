"""The map within a model: its last module, a Router that leaves documents as they are."""

import copy
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, cast

import torch
from torch import nn

from hooktune import PluginError, frozen

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Router
    from sentence_transformers.base.modules.module import Module

_QUERY: Final = "query"
_DOCUMENT: Final = "document"
_EMBEDDING: Final = "sentence_embedding"
_UNIT: Final = 1e-3


def map_of(model: "SentenceTransformer") -> torch.Tensor | None:
    """Return the map M of `q' = norm(q M)` that `put_map` gave a model, or None without one.

    Args:
        model: A model whose queries' embeddings have D numbers.

    Returns:
        A tensor of D x D.
    """
    router = _map_router(model)
    return None if router is None else _dense(router).linear.weight.detach().T.clone()


def without_map(model: "SentenceTransformer") -> "SentenceTransformer":
    """Return a model as it was before `put_map`; the two share their weights.

    Args:
        model: The model, which is left as it is; one without a map is returned itself.
    """
    if _map_router(model) is None:
        return model
    base = copy.copy(model)
    base._modules = dict(model._modules)
    _take_map_off(base)
    return base


def held_map(model: "SentenceTransformer") -> AbstractContextManager[None]:
    """Keep the map that a model has, if any, from being trained with the rest of it."""
    router = _map_router(model)
    return frozen([] if router is None else [router])


def put_map(model: "SentenceTransformer", matrix: torch.Tensor) -> None:
    """Give a model a map of its queries' embeddings, in the place of the one that it has.

    The map is the model's last module, a `Router`. Its query route is a `Dense` without bias or
    activation and, where the model's embeddings are normalised, `Normalize`. Its document route,
    which is the default one, has no weights: `encode_document`, and `encode` without a task, return
    what they did before. A Router that the model has of its own stays, and stands before it.

    Args:
        model: The model, which is changed in place.
        matrix: M of `q' = norm(q M)`. It may be smaller than an embedding where the model cuts
            embeddings off (`truncate_dim`); what is cut off then stays as it is.

    Raises:
        PluginError: The model makes embeddings of fewer numbers than the map takes, or does not
            tell of how many.
    """
    from sentence_transformers.base.modules import Dense, Normalize, Router
    from sentence_transformers.sentence_transformer.modules import Dropout

    _take_map_off(model)
    normalises = _normalises(model)
    if _is_normalize(model[-1]):
        del model[len(model) - 1]
    width = _width(model)
    dense = Dense(
        width,
        width,
        bias=False,
        activation_function=nn.Identity(),
        init_weight=_widened(matrix, width).T.contiguous(),
    )
    # A route needs a module; this Dropout does nothing.
    routes: dict[str, list[Module]] = {
        _QUERY: [dense, Normalize()] if normalises else [dense],
        _DOCUMENT: [Normalize()] if normalises else [Dropout(0.0)],
    }
    router = Router(routes, default_route=_DOCUMENT)
    model.append(router.to(device=model.device, dtype=model.dtype).eval())


def _take_map_off(model: "SentenceTransformer") -> None:
    router = _map_router(model)
    if router is None:
        return
    del model[len(model) - 1]
    for module in _route(router, _DOCUMENT):
        if _is_normalize(module):
            model.append(module)


def _map_router(model: "SentenceTransformer") -> "Router | None":
    """Return a model's last module if it is what `put_map` has put there."""
    from sentence_transformers.base.modules import Dense, Router
    from sentence_transformers.sentence_transformer.modules import Dropout

    router = model[-1]
    if not isinstance(router, Router) or set(router.sub_modules) != {_QUERY, _DOCUMENT}:
        return None
    first, *rest = _route(router, _QUERY)
    is_map = (
        isinstance(first, Dense)
        and not first.bias
        and not first.use_residual
        and isinstance(first.activation_function, nn.Identity)
        and first.in_features == first.out_features
        and all(map(_is_normalize, rest))
        and all(isinstance(m, Dropout) or _is_normalize(m) for m in _route(router, _DOCUMENT))
    )
    return router if is_map else None


def _dense(router: "Router") -> "Dense":
    return cast("Dense", _route(router, _QUERY)[0])


def _route(router: "Router", name: str) -> list[nn.Module]:
    return [*router.sub_modules[name].children()]


def _is_normalize(module: nn.Module) -> bool:
    from sentence_transformers.base.modules import Normalize

    return (
        isinstance(module, Normalize)
        and module.module_input_name == module.module_output_name == _EMBEDDING
    )


def _normalises(model: "SentenceTransformer") -> bool:
    """Tell whether a model's embeddings have the length 1, by that of a text."""
    if _is_normalize(model[-1]):
        return True
    with model.truncate_embeddings(None):
        embedding = model.encode_document(["a text"], show_progress_bar=False)
    return abs(float((embedding**2).sum()) - 1) < _UNIT


def _width(model: "SentenceTransformer") -> int:
    with model.truncate_embeddings(None):
        width = model.get_embedding_dimension()
    if width is None:
        raise PluginError(
            "The model does not tell how many numbers its embeddings have, which a query map needs."
        )
    return int(width)


def _widened(matrix: torch.Tensor, width: int) -> torch.Tensor:
    if len(matrix) > width:
        raise PluginError(
            f"A query map takes embeddings of {len(matrix)} numbers, and those of this model have "
            f"{width}."
        )
    whole = torch.eye(width)
    whole[: len(matrix), : len(matrix)] = matrix.detach().cpu().float()
    return whole
