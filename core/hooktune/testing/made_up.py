"""What tests of plugins start from: a model made in milliseconds, and small made-up sessions."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hooktune.contract.sessions import Sessions
from hooktune.data.assembly import LogColumns
from hooktune.data.log_schema import Item, Session
from hooktune.data.session_block import block_of
from hooktune.tracking.models.loading import quiet_loading

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_WORDS = [
    "apple",
    "bread",
    "chair",
    "delta",
    "eagle",
    "flute",
    "grape",
    "house",
    "igloo",
    "jelly",
    "knife",
    "lemon",
    "mango",
    "night",
    "ocean",
    "piano",
    "queen",
    "river",
    "sugar",
    "table",
    "uncle",
    "violin",
    "water",
    "xenon",
    "yacht",
    "zebra",
]


def tiny_model(seed: int = 0, *, dimensions: int = 32, layers: int = 2) -> "SentenceTransformer":
    """Make a BERT of a few thousand random weights, on the CPU, without any download.

    Args:
        seed: The seed of the weights; the global random state is left as it was.
        dimensions: The length of an embedding.
        layers: The number of transformer layers.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel, BertTokenizer

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + list("0123456789.,-_()")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS, *letters]
    pieces += [f"##{letter}" for letter in letters]
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=dimensions,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * dimensions,
        max_position_embeddings=64,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(devices=[]),
        quiet_loading(),
    ):
        torch.manual_seed(seed)
        vocabulary = Path(folder, "vocab.txt")
        vocabulary.write_text("\n".join(pieces), encoding="utf-8")
        BertTokenizer(str(vocabulary), model_max_length=64).save_pretrained(folder)
        BertModel(config).save_pretrained(folder)
        transformer = Transformer(folder, max_seq_length=64)
        return SentenceTransformer(modules=[transformer, Pooling(dimensions)], device="cpu")


def made_up_log(
    seed: int = 0,
    *,
    sessions: int = 40,
    queries: int = 10,
    items: int = 30,
    results: int = 8,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Make a log of sessions and its items, in which an item that shares a query's word is clicked.

    Args:
        seed: The seed of everything random.
        sessions: How many sessions; about one in five of them has no click.
        queries: How many distinct queries.
        items: How many items.
        results: How many results each session shows.

    Returns:
        The sessions and the items, as a log's JSON lines hold them.
    """
    random = np.random.default_rng(seed)
    item_words = [random.choice(_WORDS, size=3, replace=False) for _ in range(items)]
    query_words = [_WORDS[place % len(_WORDS)] for place in range(queries)]
    log = []
    for number in range(sessions):
        word = query_words[number % queries]
        shown = random.choice(items, size=results, replace=False)
        scores = np.sort(random.uniform(0.1, 0.9, size=results))[::-1]
        relevant = [place for place in shown if word in item_words[place]] or [shown[0]]
        clicked = [] if random.random() < 0.2 else relevant
        log.append(
            {
                "session_id": f"session-{number:04d}",
                "search_query": f"{word} number {number % queries}",
                "search_results": [
                    {"object_id": f"item-{place}", "rank": round(float(score), 4)}
                    for place, score in zip(shown, scores, strict=True)
                ],
                "events": [
                    {
                        "event_id": f"{number}-{place}",
                        "object_id": f"item-{place}",
                        "event_type": "click",
                    }
                    for place in clicked
                ],
            }
        )
    listed = [
        {"object_id": f"item-{place}", "text": " ".join(words)}
        for place, words in enumerate(item_words)
    ]
    return log, listed


def made_up_sessions(
    seed: int = 0,
    *,
    sessions: int = 40,
    queries: int = 10,
    items: int = 30,
    results: int = 8,
) -> Sessions:
    """Make the sessions of `made_up_log` as the columns that hooks are given."""
    return sessions_of_log(
        *made_up_log(seed, sessions=sessions, queries=queries, items=items, results=results)
    )


def sessions_of_log(
    log: Iterable[Mapping[str, Any]], items: Iterable[Mapping[str, Any]]
) -> Sessions:
    """Return a log's sessions as columns, as a released batch would hold them."""
    columns = LogColumns()
    columns.add_block(block_of([Session.model_validate(session) for session in log]))
    columns.add_items(Item.model_validate(item) for item in items)
    return columns.usable_sessions()[0]
