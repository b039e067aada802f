"""The similarity of every shown result under a model, each distinct text being encoded once."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.batch import Floats, Ints, Sessions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ENCODE_BATCH_SIZE = 32
_RESULTS_AT_ONCE = 65_536

Task = Literal["query", "document"]


def score_results(
    model: "SentenceTransformer", sessions: Sessions, *, show_progress: bool = False
) -> Floats:
    """Return the cosine similarity of each shown result to its query, float32.

    Args:
        model: The model to measure; an asymmetric one encodes queries by its query route and items
            by its document route.
        sessions: Sessions that show R results altogether.
        show_progress: Show a bar while texts are encoded.

    Returns:
        An array of R numbers between -1 and 1, in the sessions' order.
    """
    queries, query_rows = _embed(
        model, sessions.queries, sessions.query_index, "query", show_progress
    )
    items, item_rows = _embed(model, sessions.items, sessions.item_index, "document", show_progress)
    query_rows = query_rows[sessions.session_index]
    scores = np.empty(sessions.result_count, dtype=np.float32)
    for start in range(0, len(scores), _RESULTS_AT_ONCE):
        part = slice(start, start + _RESULTS_AT_ONCE)
        np.einsum("ij,ij->i", queries[query_rows[part]], items[item_rows[part]], out=scores[part])
    return scores


def distinct_texts(texts: pa.StringArray, index: Ints) -> tuple[list[str], Ints]:
    """Return the distinct texts that an index uses, and each of its entries' place among them."""
    used, entry_of = np.unique(index, return_inverse=True)
    distinct = pc.dictionary_encode(texts.take(pa.array(used)))
    return distinct.dictionary.to_pylist(), distinct.indices.to_numpy()[entry_of]


def _embed(
    model: "SentenceTransformer",
    texts: pa.StringArray,
    index: Ints,
    task: Task,
    show_progress: bool,
) -> tuple[Floats, Ints]:
    """Encode the distinct texts that an index uses; return them and each entry's row among them."""
    distinct, rows = distinct_texts(texts, index)
    encode = model.encode_query if task == "query" else model.encode_document
    embeddings = encode(
        distinct,
        batch_size=ENCODE_BATCH_SIZE,
        show_progress_bar=show_progress,
        normalize_embeddings=True,
    )
    return np.asarray(embeddings, dtype=np.float32), rows
