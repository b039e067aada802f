"""What a map is learned from: clicks, and items' first sentences, as embeddings."""

import re
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import torch

from hooktune import Ints, PluginError, Reader, Sessions
from hooktune_default.targets import ClickTargets, click_targets
from hooktune_query_map.losses import Evidence, Sought

MOST_OPENINGS: Final = 2_000
"""The first sentences of so many items stand for those of a larger collection."""

_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n")
_LEAST_CHARACTERS: Final = 10
"""What is shorter says too little of an item, or is an abbreviation."""


def gather_evidence(reader: Reader, sessions: Sessions) -> Evidence:
    """Encode each query with a click, each item and some items' first sentences, once.

    Args:
        reader: A model without a map.
        sessions: The training sessions.

    Raises:
        PluginError: The embeddings of queries and items are of different lengths.
    """
    targets = click_targets(sessions)
    every_item = np.arange(len(sessions.items))
    of_queries = _embeddings(reader, sessions.queries, targets.query_index, "query")
    of_items = _embeddings(reader, sessions.items, every_item, "document")
    if of_queries.shape[1] != of_items.shape[1]:
        raise PluginError(
            "A query map needs a model whose queries and items have embeddings of one length; "
            f"those of this one have {of_queries.shape[1]} and {of_items.shape[1]} numbers."
        )
    openings = _openings(reader, sessions, of_items)
    clicked = sessions.take(sessions.not_irrelevant)
    return Evidence(of_queries, of_items, targets, clicked, openings)


def opening_of(text: str) -> str | None:
    """Return an item's title, or its first sentence; None where nothing comes after it."""
    for end in _SENTENCE_END.finditer(text):
        opening = text[: end.start()].strip()
        if len(opening) >= _LEAST_CHARACTERS:
            return opening if text[end.end() :].strip() else None
    return None


def _openings(reader: Reader, sessions: Sessions, items: torch.Tensor) -> Sought | None:
    """Encode the first sentences of items as queries, each of which is to find its item.

    They are to find it among the items that were drawn, so that of a large collection a step takes
    no longer than of a small one.

    Args:
        reader: A model without a map.
        sessions: The training sessions; up to `MOST_OPENINGS` of the batch's items are drawn.
        items: N x D, the embeddings of the batch's items.

    Returns:
        What they are to find, all drawn items that begin by it alike; None where no item has more
        than one sentence.
    """
    drawn = np.sort(np.random.default_rng(0).permutation(len(sessions.items))[:MOST_OPENINGS])
    texts = [opening_of(text) for text in sessions.items.take(pa.array(drawn)).to_pylist()]
    has_one = np.array([text is not None for text in texts], dtype=np.bool_)
    if not has_one.any():
        return None
    found = pa.array([text for text in texts if text is not None], pa.large_string())
    encoded = found.dictionary_encode()
    opening, item = encoded.indices.to_numpy(), np.flatnonzero(has_one)
    order = np.lexsort((item, opening))
    every = np.arange(len(encoded.dictionary))
    offsets = np.searchsorted(opening[order], np.arange(len(every) + 1))
    shares = (1 / np.bincount(opening))[opening[order]].astype(np.float32)
    title = "encoding the first sentences of items"
    queries = _embeddings(reader, encoded.dictionary, every, "query", title)
    candidates = items[torch.from_numpy(drawn).to(items.device)]
    return Sought(queries, candidates, ClickTargets(every, offsets, item[order], shares))


def _embeddings(
    reader: Reader,
    texts: pa.LargeStringArray,
    index: Ints,
    task: Literal["query", "document"],
    title: str | None = None,
) -> torch.Tensor:
    with torch.no_grad():
        rows, vectors = reader.embed(texts, index, task, title=title)
    return vectors[torch.from_numpy(rows).to(vectors.device)].float()
