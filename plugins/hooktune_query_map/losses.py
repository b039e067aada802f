"""The three losses of a query map, each for some queries or sessions at a time."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch.nn.functional import normalize

from hooktune import Sessions
from hooktune_default.loss import ranking_loss
from hooktune_default.params import Params as PairParams
from hooktune_default.targets import ClickTargets, Floats, Ints

CANDIDATES: Final = 10_000
"""So many items of a larger collection stand for all of it in a step."""

_COLLECTION_TEMPERATURE: Final = 0.1
_SHOWN_TEMPERATURE: Final = 0.05
_PAIRS: Final = PairParams()
_MOST_OF_AN_ITEM: Final = 0.5


@dataclass(frozen=True, eq=False)
class Sought:
    """Embeddings without a map of n queries and N items, and which items each query is to find."""

    queries: torch.Tensor
    """n x D, normalised; row i is the i-th query of `targets`."""
    items: torch.Tensor
    """N x D, normalised; row i is the item that `targets` calls i."""
    targets: ClickTargets

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Evidence(Sought):
    """What a map is learned from: the queries that have a click, and what was clicked."""

    sessions: Sessions
    """The sessions of these queries that have a click."""
    openings: Sought | None = None
    """The first sentences of items, which are to find their items; None where there are none."""

    @cached_property
    def query_of_session(self) -> Ints:
        """For each session, the row of its query."""
        order = np.argsort(self.targets.query_index)
        rows = np.searchsorted(self.targets.query_index, self.sessions.query_index, sorter=order)
        found: Ints = order[rows]
        return found

    def take(self, queries: Ints) -> "Evidence":
        """Return what is known of some of the queries."""
        targets = self.targets.take(queries)
        kept = np.isin(self.sessions.query_index, targets.query_index)
        rows = torch.from_numpy(queries).to(self.queries.device)
        known = self.queries[rows], self.items, targets, self.sessions.take(kept)
        return Evidence(*known, self.openings)


def mapped(queries: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return `norm(q + q W)` of each query q, a row."""
    return normalize(queries + queries @ weight, dim=1)


def enriched(evidence: Evidence, queries: Ints, random: np.random.Generator) -> torch.Tensor:
    """Return queries as if each said more of what was clicked: with a part of an item's embedding.

    Each is `norm((1 - s) q + s d)` with d drawn by the query's targets and s evenly from 0 to
    `_MOST_OF_AN_ITEM`: more and other queries, for no encoding (interpolation of training examples:
    Zhang et al. 2018, "mixup: Beyond empirical risk minimization").
    """
    targets, device = evidence.targets, evidence.queries.device
    first, last = targets.offsets[queries], targets.offsets[queries + 1] - 1
    sums = np.cumsum(targets.shares, dtype=np.float64)
    before = np.where(first > 0, sums[first - 1], 0.0)
    drawn = before + random.random(len(queries)) * (sums[last] - before)
    entry = np.clip(np.searchsorted(sums, drawn, side="right"), first, last)
    items = evidence.items[torch.from_numpy(targets.item_index[entry]).to(device)]
    part = torch.from_numpy(random.uniform(0, _MOST_OF_AN_ITEM, (len(queries), 1))).to(items)
    plain = evidence.queries[torch.from_numpy(queries).to(device)]
    return normalize((1 - part) * plain + part * items, dim=1)


def collection_loss(
    sought: Sought,
    queries: Ints,
    tuned: torch.Tensor,
    random: np.random.Generator,
    attraction: float = 1.0,
) -> torch.Tensor:
    """Return the cross-entropy of the targets under a softmax over all items, and the attraction.

        mean over queries of  - sum t log softmax(q'.D / T) + attraction (1 - sum t q'.d)

    Of a collection that is larger than `CANDIDATES`, the targets' items and as many drawn ones take
    part; each drawn one stands for its share of the others (sampled softmax: Jean et al. 2015, "On
    using very large target vocabulary for neural machine translation").

    Args:
        sought: What the queries are to find.
        queries: The rows of the queries of this step.
        tuned: The q' of each of them, a row.
        random: Draws the candidates.
        attraction: The weight of what draws each query to what it is to find.
    """
    targets, device = sought.targets, tuned.device
    entries = targets.entries(queries)
    row = np.repeat(np.arange(len(queries)), np.diff(targets.offsets)[queries])
    is_target = targets.shares[entries] > 0
    entries, row = entries[is_target], row[is_target]
    items, column, log_stands_for = sought.items, targets.item_index[entries], None
    if len(items) > CANDIDATES:
        wanted, column = np.unique(column, return_inverse=True)
        candidates, log_stands_for = _drawn_candidates(len(items), wanted, random)
        items = items[torch.from_numpy(candidates).to(device)]
    similarities = tuned @ items.T
    of_targets = similarities[torch.from_numpy(row).to(device), torch.from_numpy(column).to(device)]
    shares = torch.from_numpy(targets.shares[entries]).to(device)
    logits = similarities / _COLLECTION_TEMPERATURE
    if log_stands_for is not None:
        logits = logits + torch.from_numpy(log_stands_for).to(device)
    reached = (shares * of_targets).sum() / len(queries)
    cross_entropy = logits.logsumexp(dim=1).mean() - reached / _COLLECTION_TEMPERATURE
    return cross_entropy + attraction * (1 - reached)


def _drawn_candidates(count: int, wanted: Ints, random: np.random.Generator) -> tuple[Ints, Floats]:
    """Return the items of a step, the wanted ones first, and the logarithm of how many each is."""
    drawn = random.integers(count, size=CANDIDATES)
    drawn = drawn[~np.isin(drawn, wanted)]
    stand_for = (count - len(wanted)) / max(len(drawn), 1)
    logs = np.zeros(len(wanted) + len(drawn), dtype=np.float32)
    logs[len(wanted) :] = math.log(stand_for)
    return np.concatenate([wanted, drawn]), logs


def shown_loss(evidence: Evidence, queries: Ints, tuned: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of the targets under a softmax over what each query showed.

    Args:
        evidence: What was clicked.
        queries: The rows of the queries of this step.
        tuned: The q' of each of them, a row.
    """
    targets, device = evidence.targets, tuned.device
    entries = targets.entries(queries)
    lengths = np.diff(targets.offsets)[queries]
    row = torch.from_numpy(np.repeat(np.arange(len(queries)), lengths)).to(device)
    items = evidence.items[torch.from_numpy(targets.item_index[entries]).to(device)]
    # No similarity is above 1, so that none of the exponentials overflows.
    logits = ((tuned[row] * items).sum(dim=1) - 1) / _SHOWN_TEMPERATURE
    totals = torch.segment_reduce(
        logits.exp(), "sum", lengths=torch.from_numpy(lengths).to(device), unsafe=True
    )
    shares = torch.from_numpy(targets.shares[entries]).to(device)
    return totals.log().mean() - (shares * logits).sum() / len(queries)


def pair_loss(evidence: Evidence, sessions: Ints, weight: torch.Tensor) -> torch.Tensor:
    """Return the ranking loss of the Default Fine Tuning Method, with its default parameters.

    Args:
        evidence: What was clicked.
        sessions: The places of the sessions of this step.
        weight: W, D x D.
    """
    device = weight.device
    shown = evidence.sessions.take(sessions)
    rows, row = np.unique(evidence.query_of_session[sessions], return_inverse=True)
    tuned = mapped(evidence.queries[torch.from_numpy(rows).to(device)], weight)
    # A copy, since those of a batch cannot be written to, of which torch warns.
    items = evidence.items[torch.from_numpy(np.array(shown.item_index)).to(device)]
    of_result = torch.from_numpy(row[shown.session_index]).to(device)
    return ranking_loss(_PAIRS, shown, (tuned[of_result] * items).sum(dim=1))
