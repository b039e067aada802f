"""The embeddings of a step's tokens, looked up once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn.functional import embedding

from hooktune.contract.sessions import Ints

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class TokenTable:
    """The rows of a model's token embeddings that some texts use.

    The gradient of a look-up has a row for each token that there is. Texts are encoded in chunks,
    and with one look-up for all of them that large gradient is made once, not for every chunk.

    Args:
        words: The token embeddings of the model.
        tokens: The tokens of the texts, in any order; what fills up rows is among them.
    """

    def __init__(self, words: nn.Embedding, tokens: Ints) -> None:
        device = words.weight.device
        used = torch.from_numpy(np.unique(tokens).astype(np.int64)).to(device)
        self._words = words
        self._rows = words.weight.index_select(0, used)
        self._row_of = torch.zeros(words.num_embeddings, dtype=torch.int64, device=device)
        self._row_of[used] = torch.arange(len(used), device=device)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the model look its tokens up here."""

        def look_up(tokens: torch.Tensor) -> torch.Tensor:
            return embedding(self._row_of[tokens], self._rows)

        vars(self._words)["forward"] = look_up  # before that of its class
        try:
            yield
        finally:
            del vars(self._words)["forward"]


def trained_token_embeddings(model: "SentenceTransformer") -> nn.Embedding | None:
    """Return the token embeddings of a text model where they are trained, else None."""
    transformer = getattr(model[0], "model", None)
    find = getattr(transformer, "get_input_embeddings", None)
    try:
        words = None if find is None else find()
    except NotImplementedError:  # such as that of CLIP, which reads images as well
        return None
    if not isinstance(words, nn.Embedding) or type(words).forward is not nn.Embedding.forward:
        return None
    return words if words.weight.requires_grad and "forward" not in vars(words) else None
