"""The similarities of a mini-batch's results, with the gradient that training needs."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from sentence_transformers.util import batch_to_device
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from hooktune.batch import Ints, Mask
from hooktune.encoding import ENCODE_BATCH_SIZE, Task, distinct_texts
from hooktune.sampling import MiniBatch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TOKENS_HELD = 16_384
"""How many tokens of a step, padding included, keep their activations for the backward pass.

MiniLM's take about 0.3 MB a token. Those of all further texts are computed again when they are
needed, so that long texts cost time rather than memory.
"""

_PROMPT_NAMES: dict[Task, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}


def mini_batch_scores(model: "SentenceTransformer", mini_batch: MiniBatch) -> torch.Tensor:
    """Return the cosine similarity of each result of a mini-batch to its query.

    Each distinct text is encoded once, by the prompt and route by which `encode_query` and
    `encode_document` encode it, and with a gradient only where a session to learn from shows it.

    Args:
        model: The model in training.
        mini_batch: Sessions that show R results altogether.

    Returns:
        A tensor of R numbers on the model's device.
    """
    sessions, learned = mini_batch.sessions, mini_batch.learned
    shown_by = sessions.session_index
    query_rows, queries = _embed(model, sessions.queries, sessions.query_index, learned, "query")
    item_rows, items = _embed(
        model, sessions.items, sessions.item_index, learned[shown_by], "document"
    )
    return (queries[query_rows[shown_by]] * items[item_rows]).sum(dim=1)


def _embed(
    model: "SentenceTransformer", texts: pa.LargeStringArray, index: Ints, learned: Mask, task: Task
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, for each entry of an index, its row in the normalised embeddings, and those."""
    distinct, place_of = distinct_texts(texts, index)
    with_gradient = np.bincount(place_of, weights=learned, minlength=len(distinct)) > 0
    lengths = np.array([len(text) for text in distinct])
    order = np.lexsort((lengths, with_gradient))
    prompt = _prompt(model, task)
    embeddings, held = [], 0
    for group in (order[~with_gradient[order]], order[with_gradient[order]]):
        for start in range(0, len(group), ENCODE_BATCH_SIZE):
            chunk = group[start : start + ENCODE_BATCH_SIZE]
            features = model.preprocess([distinct[place] for place in chunk], prompt, task=task)
            features = batch_to_device(features, model.device)
            if not with_gradient[chunk[0]]:
                with torch.no_grad():
                    embeddings.append(_encode(model, features, task))
                continue
            held += features["attention_mask"].numel() if "attention_mask" in features else 0
            if held <= TOKENS_HELD:
                embeddings.append(_encode(model, features, task))
            else:
                embeddings.append(checkpoint(_encode, model, features, task, use_reentrant=False))
    row_of = np.empty(len(order), dtype=np.int64)
    row_of[order] = np.arange(len(order))
    return torch.from_numpy(row_of[place_of]).to(model.device), torch.cat(embeddings)


def _encode(model: "SentenceTransformer", features: dict[str, Any], task: Task) -> torch.Tensor:
    embeddings = model(dict(features), task=task)["sentence_embedding"]
    return normalize(embeddings[..., : model.truncate_dim], dim=1)


def _prompt(model: "SentenceTransformer", task: Task) -> str | None:
    for name in (*_PROMPT_NAMES[task], model.default_prompt_name):
        if name in model.prompts:
            return model.prompts[name]
    return None
