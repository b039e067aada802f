"""How far a model has moved items, queries and results from where the starting model had them.

A team decides by it whether the index must be built anew, and how much its users will notice.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hooktune.contract.collection_metrics import (
    MOVED_ITEMS,
    MOVED_ITEMS_P95,
    MOVED_QUERIES,
    MOVED_QUERIES_P95,
    MOVED_TOP_10,
)
from hooktune.contract.metric import with_test_prefix
from hooktune.contract.sessions import Ints

if TYPE_CHECKING:
    import torch

    from hooktune.evaluation.collection import Collection, Embedded, Found

_SAMPLED: Final = 10_000
"""So many of each tell a mean to a hundredth of its spread, and are kept all the time."""
_SHOWN: Final = 10
_HIGH: Final = 0.95


@dataclass(frozen=True, eq=False)
class Footprint:
    """Where a model has some items and queries, and what it shows first."""

    items: "torch.Tensor"
    """The normalised embeddings of items spread evenly over all of them, a row each."""
    queries: "torch.Tensor"
    """The same of the queries that are searched for."""
    top: Ints
    """For each query that is searched for, the places of the first ten items; -1 for none."""


def footprint(collection: "Collection", embedded: "Embedded", found: "Found") -> Footprint:
    """Return where a model has what a collection holds.

    Args:
        collection: All items, and the queries that are searched for.
        embedded: What the model makes of them.
        found: What comes first by it.
    """
    every_item = np.arange(len(collection.sessions.items))
    return Footprint(
        embedded.items.of(_spread_evenly(every_item)),
        embedded.queries.of(_spread_evenly(collection.queries)),
        found.clicked[:, :_SHOWN],
    )


def movement(before: Footprint, after: Footprint) -> dict[str, float]:
    """Return how far things have moved between two models, by the names that are tracked.

    Distances are cosine distances, one less the cosine. They are left out where the models'
    embeddings do not have the same size.
    """
    moved = {
        **_distances(before.items, after.items, (MOVED_ITEMS, MOVED_ITEMS_P95)),
        **_distances(before.queries, after.queries, (MOVED_QUERIES, MOVED_QUERIES_P95)),
    }
    if len(before.top):
        stayed = (before.top[:, :, None] == after.top[:, None, :]).any(axis=2) & (before.top >= 0)
        shown = np.maximum((before.top >= 0).sum(axis=1), 1)
        moved[MOVED_TOP_10] = float(1 - (stayed.sum(axis=1) / shown).mean())
    return with_test_prefix(moved)


def _distances(
    before: "torch.Tensor", after: "torch.Tensor", names: tuple[str, str]
) -> dict[str, float]:
    """Return the mean of the cosine distances, and what 95 of 100 do not pass."""
    if before.shape != after.shape or not len(before):
        return {}
    # Of vectors that are equal the cosine may be a little more or less than 1.
    distances = (1 - (before * after).sum(dim=1)).clamp(min=0)
    values = float(distances.mean()), float(distances.quantile(_HIGH))
    return dict(zip(names, values, strict=True))


def _spread_evenly(places: Ints) -> Ints:
    count = len(places)
    chosen = np.linspace(0, count - 1, min(count, _SAMPLED)).astype(np.int64)
    return places[np.unique(chosen)]
