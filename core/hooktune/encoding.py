"""The similarity of every shown result under a model, each distinct text being encoded once."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.batch import Floats, Ints, Sessions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ENCODE_BATCH_SIZE = 32
# So many rows of two embeddings fit into a processor's cache.
_PAIRS_AT_ONCE = 1_024

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
    return similarities(queries, query_rows[sessions.session_index], items, item_rows)


def similarities(queries: Floats, query_rows: Ints, items: Floats, item_rows: Ints) -> Floats:
    """Return the products of pairs of rows of two matrices of embeddings, float32.

    Args:
        queries: A normalised float32 embedding a row.
        query_rows: For each of R pairs, the row of the one.
        items: As `queries`.
        item_rows: For each of the R pairs, the row of the other.
    """
    scores = np.empty(len(query_rows), dtype=np.float32)

    def score(start: int) -> None:
        part = slice(start, start + _PAIRS_AT_ONCE)
        # All rows exist, and clipping is quicker than asking whether they do.
        pairs = (
            queries.take(query_rows[part], 0, mode="clip"),
            items.take(item_rows[part], 0, mode="clip"),
        )
        np.einsum("ij,ij->i", *pairs, out=scores[part])

    # The time goes into fetching rows from memory, for which NumPy lets other threads run.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(score, range(0, len(scores), _PAIRS_AT_ONCE)))
    return scores


def distinct_texts(texts: pa.LargeStringArray, index: Ints) -> tuple[list[str], Ints]:
    """Return the distinct texts that an index uses, and each of its entries' place among them."""
    is_used = np.zeros(len(texts), dtype=bool)
    is_used[index] = True
    used = np.flatnonzero(is_used)
    distinct = pc.dictionary_encode(texts.take(pa.array(used)))
    place = np.zeros(len(texts), dtype=np.int32)
    place[used] = distinct.indices.to_numpy()
    return distinct.dictionary.to_pylist(), place[index]


def _embed(
    model: "SentenceTransformer",
    texts: pa.LargeStringArray,
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
