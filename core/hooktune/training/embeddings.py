"""What a model makes of a column of a batch's texts, to be measured by."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from hooktune.contract.encoding import Reader, Task
from hooktune.contract.sessions import Ints

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The embeddings of some texts of a column."""

    row_of: Ints
    """For each text of the column, the row of its embedding; -1 where it was not encoded."""
    vectors: torch.Tensor
    """An embedding a row, normalised, on the model's device."""

    def of(self, index: Ints) -> torch.Tensor:
        """Return the embeddings of some texts that were encoded, a row each."""
        return self.vectors[torch.from_numpy(self.row_of[index]).to(self.vectors.device)].float()


def embed_column(
    reader: Reader, texts: pa.LargeStringArray, index: Ints, task: Task, title: str | None = None
) -> Embeddings:
    """Encode texts of a column without a gradient; all processes of a run must call it.

    Args:
        reader: The model, which should be in evaluation mode.
        texts: The column.
        index: The entries that are wanted.
        task: By which prompt and route they are encoded.
        title: What progress is reported as; without it there is no report.
    """
    with torch.no_grad():
        rows, vectors = reader.embed(texts, index, task, title=title)
    row_of = np.full(len(texts), -1, dtype=np.int64)
    row_of[index] = rows
    return Embeddings(row_of, vectors)


@contextmanager
def in_eval_mode(model: "SentenceTransformer") -> Iterator[None]:
    """Put a model into evaluation mode, and each of its modules back into its own afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
