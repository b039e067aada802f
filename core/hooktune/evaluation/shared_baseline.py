"""What the starting model makes of a batch, encoded by one of the workers of a machine for all."""

from typing import Any

import numpy.typing as npt
import torch

from hooktune.contract.sessions import Sessions
from hooktune.evaluation.collection import Collection, Embedded
from hooktune.training.embeddings import Embeddings
from hooktune.training.encoder import TextEncoder

_TITLE = "the starting model"
_ROWS, _VECTORS = "rows of ", "vectors of "


def embed_at_start(
    collection: Collection, encoder: TextEncoder, sessions: Sessions, batch_id: str
) -> Embedded:
    """Encode all items and queries of a batch by the starting model.

    Args:
        collection: What is measured by.
        encoder: That of the starting model; where workers share a shelf, one of them encodes.
        sessions: Those of the batch.
        batch_id: The batch.
    """
    model, shelf = encoder.model, encoder.shelf
    if shelf is None:
        return collection.embed(model, sessions, _TITLE)

    def make() -> dict[str, npt.NDArray[Any]]:
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, found in vars(collection.embed(model, sessions, _TITLE)).items():
            if found is not None:
                arrays[_ROWS + name] = found.row_of
                arrays[_VECTORS + name] = found.vectors.cpu().numpy()
        return arrays

    arrays = shelf.arrays(f"baseline-{batch_id}-{encoder.depth}", make)

    def embeddings(name: str) -> Embeddings:
        vectors = torch.from_numpy(arrays[_VECTORS + name]).to(model.device)
        return Embeddings(arrays[_ROWS + name], vectors)

    is_judged = _ROWS + "judged" in arrays
    return Embedded(
        embeddings("queries"), embeddings("items"), embeddings("judged") if is_judged else None
    )
