"""Learning a query map: three losses, a map of its own for each, and the mean of the three."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from hooktune_default.targets import Ints
from hooktune_query_map.losses import (
    Evidence,
    collection_loss,
    enriched,
    mapped,
    pair_loss,
    shown_loss,
)

MOST_STEPS: Final = 300
"""What a part's training takes at most, however many queries there are."""

_AT_ONCE: Final = 64
_PAIR_EPOCHS: Final = 4
_OF_PAIRS: Final = 0.1
"""The part of the restraint that the pair loss has, whose gradient is a tenth of the others'."""
_OPENINGS_AT_ONCE: Final = 32
_OF_OPENINGS: Final = 0.5
_LEARNING_RATE: Final = 1e-3
_WARMUP_RATIO: Final = 0.1

OnEpoch = Callable[[str, float, int], None]
"""Is told a metric's name, its mean over an epoch, and how many steps were done till then; raises
`Stopped` to end it all."""


class Stopped(Exception):  # noqa: N818
    """The user has asked to stop."""


@dataclass(frozen=True)
class Part:
    """One of the losses, and how its map is trained."""

    metric: str
    """What its loss is tracked as."""
    loss: Callable[[torch.Tensor, Ints], torch.Tensor]
    """Takes W and the places of a step's queries or sessions."""
    count: int
    """How many queries or sessions there are."""
    epochs: int
    restraint: Callable[[torch.Tensor], torch.Tensor]
    """Takes W; what it is held back by, whatever the step."""

    @property
    def steps(self) -> int:
        """How many steps its training takes."""
        return min(self.epochs * -(-self.count // _AT_ONCE), MOST_STEPS)


def parts_of(
    evidence: Evidence, l2: float, attraction: float, epochs: int, seed: int
) -> tuple[Part, ...]:
    """Return the three parts.

    Each is held back by l2, and by the first sentences of items, which stand for queries: under
    the map too each is to find its item among all.

    Args:
        evidence: What was clicked.
        l2: How strongly the maps of the two softmaxes are held near the identity by l2.
        attraction: How strongly the first of them draws queries to what was clicked for them.
        epochs: How often those go through the queries.
        seed: The seed of what the losses draw.
    """
    random = np.random.default_rng(seed)

    def tuned(weight: torch.Tensor, places: Ints) -> torch.Tensor:
        return mapped(enriched(evidence, places, random), weight)

    def over_all(weight: torch.Tensor, places: Ints) -> torch.Tensor:
        return collection_loss(evidence, places, tuned(weight, places), random, attraction)

    def over_shown(weight: torch.Tensor, places: Ints) -> torch.Tensor:
        return shown_loss(evidence, places, tuned(weight, places))

    def over_pairs(weight: torch.Tensor, places: Ints) -> torch.Tensor:
        return pair_loss(evidence, places, weight)

    def restraint(weight: torch.Tensor) -> torch.Tensor:
        near, openings = l2 * weight.square().sum(), evidence.openings
        if openings is None:
            return near
        places = random.permutation(len(openings))[:_OPENINGS_AT_ONCE]
        plain = openings.queries[torch.from_numpy(places).to(weight.device)]
        return near + _OF_OPENINGS * collection_loss(
            openings, places, mapped(plain, weight), random
        )

    def of_pairs(weight: torch.Tensor) -> torch.Tensor:
        return _OF_PAIRS * restraint(weight)

    queries, sessions = len(evidence), len(evidence.sessions)
    return (
        Part("train_loss", over_all, queries, epochs, restraint),
        Part("train_shown_loss", over_shown, queries, epochs, restraint),
        Part("train_pair_loss", over_pairs, sessions, _PAIR_EPOCHS, of_pairs),
    )


def fit_map(
    evidence: Evidence, parts: tuple[Part, ...], seed: int, on_epoch: OnEpoch
) -> torch.Tensor:
    """Train a map for each part, from the identity on, and return the mean of the maps.

    Args:
        evidence: What was clicked.
        parts: What `parts_of` returned for it.
        seed: The seed of the order in which queries and sessions are gone through.
        on_epoch: Is told how each epoch went.

    Returns:
        W, D x D.

    Raises:
        Stopped: `on_epoch` has said so.
    """
    width = evidence.queries.shape[1]
    total, done = evidence.queries.new_zeros(width, width), 0
    for part in parts:
        weight = torch.zeros_like(total).requires_grad_()
        total += _trained(weight, part, np.random.default_rng(seed), done, on_epoch)
        done += part.steps
    return total / len(parts)


def _trained(
    weight: torch.Tensor, part: Part, random: np.random.Generator, done: int, on_epoch: OnEpoch
) -> torch.Tensor:
    """Train one part's map by AdamW, with warm-up and linear decay."""
    optimizer = torch.optim.AdamW([weight], weight_decay=0.0)
    warmup, step = math.ceil(_WARMUP_RATIO * part.steps), 0
    while step < part.steps:
        losses = []
        steps = np.array_split(random.permutation(part.count), -(-part.count // _AT_ONCE))
        for places in steps[: part.steps - step]:
            rate = min((step + 1) / warmup, (part.steps - step) / (part.steps - warmup or 1))
            optimizer.param_groups[0]["lr"] = _LEARNING_RATE * rate
            value = part.loss(weight, places)
            losses.append(value.item())
            (value + part.restraint(weight)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        on_epoch(part.metric, float(np.mean(losses)), done + step)
    return weight.detach()
