"""The similarity of shown results to their queries: for measuring, and for training."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from hooktune.contract.encoding import Reader
from hooktune.contract.sessions import Floats, Ints, Sessions
from hooktune.training.embeddings import Embeddings, embed_column, in_eval_mode
from hooktune.training.encoder import TextEncoder
from hooktune.training.mini_batches import MiniBatch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# So many rows of two embeddings fit into a processor's cache.
_PAIRS_AT_ONCE: Final = 1_024


def score_results(
    model: "SentenceTransformer",
    sessions: Sessions,
    encoder: TextEncoder | None = None,
    *,
    title: str | None = None,
) -> Floats:
    """Return the cosine similarity of each shown result to its query, float32.

    Args:
        model: The model to measure, in evaluation mode, and afterwards in the mode that it had;
            an asymmetric one encodes queries by its query route and items by its document route.
        sessions: Sessions that show R results altogether.
        encoder: What is known already of the batch's texts.
        title: Which model it is, as reports of progress say; without it there is no report.

    Returns:
        An array of R numbers between -1 and 1, in the sessions' order.
    """
    reader = (encoder or TextEncoder(model)).reader(model)
    of_queries, of_items = (
        None if title is None else f"encoding {texts} by {title}" for texts in ("queries", "items")
    )
    with in_eval_mode(model):
        queries = embed_column(reader, sessions.queries, sessions.query_index, "query", of_queries)
        items = embed_column(reader, sessions.items, sessions.item_index, "document", of_items)
    return scores_of(sessions, queries, items)


def scores_of(sessions: Sessions, queries: Embeddings, items: Embeddings) -> Floats:
    """Return the cosine similarity of each shown result to its query, float32.

    Args:
        sessions: Sessions that show R results altogether.
        queries: The embeddings of their queries, at least.
        items: The embeddings of the items that they show, at least.
    """
    query_rows = queries.row_of[sessions.query_index[sessions.session_index]]
    vectors = [embeddings.vectors.float().cpu().numpy() for embeddings in (queries, items)]
    return similarities(vectors[0], query_rows, vectors[1], items.row_of[sessions.item_index])


def mini_batch_scores(reader: Reader, mini_batch: MiniBatch) -> torch.Tensor:
    """Return the cosine similarity of each result of a mini-batch to its query.

    Each distinct text is encoded once, and with a gradient only where a session to learn from
    shows it.

    Args:
        reader: The model in training, from `make_reader`. All processes of a run must call it.
        mini_batch: Sessions that show R results altogether.

    Returns:
        A tensor of R numbers on the model's device.
    """
    sessions, learned = mini_batch.sessions, mini_batch.learned
    shown_by = sessions.session_index
    query_rows, queries = reader.embed(sessions.queries, sessions.query_index, "query", learned)
    item_rows, items = reader.embed(
        sessions.items, sessions.item_index, "document", learned[shown_by]
    )
    pairs = [
        vectors[torch.from_numpy(rows).to(vectors.device)]
        for rows, vectors in ((query_rows[shown_by], queries), (item_rows, items))
    ]
    return (pairs[0] * pairs[1]).sum(dim=1)


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
