"""Encoding the texts of a batch: what a run gives to a method with a training loop of its own."""

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa
    import torch
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.sessions import Ints, Mask

Task = Literal["query", "document"]


class Reader(Protocol):
    """A model that reads a batch's texts, as it is at each call and in its present mode."""

    def embed(
        self,
        texts: "pa.LargeStringArray",
        index: "Ints",
        task: Task,
        learned: "Mask | None" = None,
        title: str | None = None,
    ) -> "tuple[Ints, torch.Tensor]":
        """Encode the distinct texts that an index uses.

        All processes of a run must call it, in the same order: each encodes a share of the texts.

        Args:
            texts: `queries` or `items` of a batch's sessions.
            index: The entries of the column that are wanted.
            task: By which prompt and route they are encoded.
            learned: For each entry of the index, whether a gradient is to reach it; None for none.
            title: What progress is reported as; without it there is no report.

        Returns:
            For each entry of the index, its row in the embeddings; and the embeddings, normalised,
            on the model's device.
        """
        ...


class Encoder(Protocol):
    """Keeps what models with the same tokens, and the same lowest layers, make of a batch's texts.

    Each text is tokenised once, and passes through frozen layers once.
    """

    def reader(
        self,
        model: "SentenceTransformer",
        frozen_layers: int | None = None,
        *,
        in_bfloat16: bool = False,
    ) -> Reader:
        """Prepare to encode by a model.

        Args:
            model: The model, as it is now.
            frozen_layers: How many of its lowest layers will not change while the reader is used;
                None for all, as in an evaluation.
            in_bfloat16: Whether to multiply matrices in bfloat16.
        """
        ...
