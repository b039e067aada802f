"""The reference: a plain training loop in torch and sentence-transformers, without hooktune.

Each distinct text of a step is encoded once, sorted by length and padded to the longest of its
chunk; AdamW; sessions in random order. `train_plain_frozen` is the same loop over the upper layers
of a BERT, with the outputs of the lower ones computed once and kept.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from hooktune import Sessions
from measuring import Pace

CHUNK = 32
SESSIONS_IN_STEP = 16
LEARNING_RATE = 2e-5

Encode = Callable[[Sequence[str]], torch.Tensor]
"""Takes a chunk of texts and returns a normalised embedding a row."""


def train_plain(
    model: SentenceTransformer, sessions: Sessions, pace: Pace, epochs: int = 1
) -> None:
    """Train all layers of a model on sessions, its dropout being off."""

    def encode(texts: Sequence[str]) -> torch.Tensor:
        features = batch_to_device(model.preprocess(list(texts)), model.device)
        return normalize(model(features)["sentence_embedding"], dim=1)

    _train(model, encode, sessions, pace, epochs)


def train_plain_frozen(
    model: SentenceTransformer,
    sessions: Sessions,
    pace: Pace,
    after_first_pass: Callable[[], None],
    epochs: int = 1,
    frozen_layers: int = 4,
) -> None:
    """Train the upper layers of a BERT, keeping what the lower ones give for each text."""
    bert: Any = model[0].auto_model
    lower, upper = bert.encoder.layer[:frozen_layers], bert.encoder.layer[frozen_layers:]
    for part in (bert.embeddings, lower):
        part.requires_grad_(False)
    shown = np.unique(sessions.item_index)
    texts = [*sessions.queries.to_pylist(), *sessions.items.take(shown).to_pylist()]
    kept: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for chunk in _chunks(sorted(set(texts), key=len)):
            features = batch_to_device(model.preprocess(chunk), model.device)
            mask = features["attention_mask"]
            hidden = bert.embeddings(features["input_ids"])
            for layer in lower:
                hidden = layer(hidden, _additive(mask))
            for text, states, length in zip(chunk, hidden, mask.sum(dim=1), strict=True):
                kept[text] = states[:length].clone()
    after_first_pass()

    def encode(texts: Sequence[str]) -> torch.Tensor:
        states = [kept[text] for text in texts]
        hidden = pad_sequence(states, batch_first=True)
        lengths = torch.tensor([len(text_states) for text_states in states], device=hidden.device)
        mask = (torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]).long()
        for layer in upper:
            hidden = layer(hidden, _additive(mask))
        pooled = model[1]({"token_embeddings": hidden, "attention_mask": mask})
        return normalize(pooled["sentence_embedding"], dim=1)

    _train(model, encode, sessions, pace, epochs)


def _train(
    model: SentenceTransformer, encode: Encode, sessions: Sessions, pace: Pace, epochs: int
) -> None:
    model.eval()
    random = np.random.default_rng(0)
    clicked = np.flatnonzero(sessions.not_irrelevant)
    steps = epochs * -(-len(clicked) // SESSIONS_IN_STEP)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=0.01)
    warmup = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
    )
    for _ in range(epochs):
        for places in _chunks(random.permutation(clicked), SESSIONS_IN_STEP):
            if pace.over:
                return
            optimizer.zero_grad()
            _loss(encode, sessions.take(places)).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            pace.step()


def _loss(encode: Encode, sessions: Sessions) -> torch.Tensor:
    """Return the default method's loss with all pairs counting alike, session by session."""
    queries, query_of = np.unique(sessions.query_index, return_inverse=True)
    items, item_of = np.unique(sessions.item_index, return_inverse=True)
    of_queries = _embed(encode, sessions.queries.take(queries).to_pylist())
    of_items = _embed(encode, sessions.items.take(items).to_pylist())
    losses = []
    for place, query in enumerate(query_of):
        shown = slice(sessions.offsets[place], sessions.offsets[place + 1])
        scores = of_items[item_of[shown]] @ of_queries[query]
        clicked = torch.from_numpy(sessions.clicked[shown]).to(scores.device)
        difference = scores[clicked][:, None] - scores[~clicked][None, :]
        attraction = (1 - scores[clicked]).mean()
        losses.append(torch.sigmoid(3.0 * (0.1 - difference)).mean() + 0.05 * attraction)
    return torch.stack(losses).mean()


def _embed(encode: Encode, texts: Sequence[str]) -> torch.Tensor:
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    encoded = torch.cat([encode([texts[place] for place in chunk]) for chunk in _chunks(order)])
    return encoded[torch.from_numpy(np.argsort(order)).to(encoded.device)]


def _chunks(things: Any, size: int = CHUNK) -> list[Any]:
    return [things[start : start + size] for start in range(0, len(things), size)]


def _additive(mask: torch.Tensor) -> torch.Tensor:
    """Return what is added to attention scores: 0 for a token, minus infinity for padding."""
    added = torch.zeros(mask.shape, device=mask.device).masked_fill(mask == 0, -torch.inf)
    return added[:, None, None, :]
