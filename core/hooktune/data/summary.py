"""What a log looks like in a few numbers, and in what two of them differ."""

import hashlib
import math
from typing import Final

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from hooktune.contract.query_text import normal_forms
from hooktune.contract.sessions import Batch

POSITIONS: Final = 10
"""How many positions are looked at, from the first on."""

_SKETCH: Final = 128
_LEAST_Z: Final = 4.0
_LEAST_CHANGE: Final = 0.2
_FEWEST_IN_COMMON: Final = 0.01


class BatchSummary(BaseModel):
    """What a batch looks like: small enough to be kept beside every iteration."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    sessions: NonNegativeInt
    not_irrelevant: NonNegativeInt
    results: NonNegativeInt
    shown: tuple[NonNegativeInt, ...]
    """How many results were shown at the first positions."""
    clicked: tuple[NonNegativeInt, ...]
    """How many of them were clicked."""
    queries: tuple[int, ...]
    """The least hashes of the distinct queries, from which it follows how many two batches share
    (Broder, 1997, "On the resemblance and containment of documents")."""
    items: tuple[int, ...]
    """The same of the items' names."""

    @classmethod
    def from_text(cls, text: str) -> "BatchSummary | None":
        """Read what `model_dump_json` wrote; None where it was edited."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None


def summary_of(batch: Batch) -> BatchSummary:
    """Return what a batch looks like."""
    sessions = batch.sessions
    near = sessions.positions <= POSITIONS
    place = sessions.positions[near] - 1
    shown = np.bincount(place, minlength=POSITIONS)
    clicked = np.bincount(place[sessions.clicked[near]], minlength=POSITIONS)
    return BatchSummary(
        batch_id=batch.batch_id,
        sessions=len(sessions),
        not_irrelevant=int(sessions.not_irrelevant.sum()),
        results=sessions.result_count,
        shown=tuple(shown.tolist()),
        clicked=tuple(clicked.tolist()),
        queries=_least_hashes(normal_forms(sessions.queries)),
        items=_least_hashes(batch.object_ids),
    )


def differences(first: BatchSummary, second: BatchSummary) -> tuple[str, ...]:
    """Say in what the second batch does not look like the first; nothing where it does.

    A rate has shifted where it changed by a fifth and by more than chance would change it: z is
    above 4, as results of one session are clicked together and z is so taken for too large.
    """
    found = []
    before, after = (each.not_irrelevant / max(each.sessions, 1) for each in (first, second))
    counts = first.not_irrelevant, first.sessions, second.not_irrelevant, second.sessions
    if _has_changed(before, after) and abs(z_of_rates(*counts)) > _LEAST_Z:
        found.append(f"sessions with a click: {before:.1%} before, {after:.1%} now")
    before, after = (each.results / max(each.sessions, 1) for each in (first, second))
    if _has_changed(before, after):
        found.append(f"results shown in a session: {before:.1f} before, {after:.1f} now")
    shifted = [
        f"{before:.1%} before, {after:.1%} now at position {position}"
        for position, before, after, z in shifts(first, second)
        if abs(z) > _LEAST_Z and _has_changed(before, after)
    ]
    if shifted:
        found.append(f"results that are clicked: {'; '.join(shifted)}")
    for what in ("queries", "items"):
        share = share_in_common(getattr(first, what), getattr(second, what))
        if share < _FEWEST_IN_COMMON:
            found.append(f"{what}: hardly any is in both")
    return tuple(found)


def shifts(first: BatchSummary, second: BatchSummary) -> list[tuple[int, float, float, float]]:
    """Return for the first positions the rates of clicks, and z of their difference."""
    rows = zip(first.clicked, first.shown, second.clicked, second.shown, strict=False)
    return [
        (position, row[0] / row[1], row[2] / row[3], z_of_rates(*row))
        for position, row in enumerate(rows, start=1)
        if row[1] and row[3]
    ]


def z_of_rates(some: int, of: int, others: int, of_others: int) -> float:
    """Return z of the difference of two rates, above 0 where the second is higher."""
    pooled = (some + others) / (of + of_others)
    variance = pooled * (1 - pooled) * (1 / of + 1 / of_others)
    return (others / of_others - some / of) / math.sqrt(variance) if variance > 0 else 0.0


def share_in_common(first: tuple[int, ...], second: tuple[int, ...]) -> float:
    """Estimate which share of all that two batches have is in both, from their least hashes."""
    size = min(_SKETCH, max(len(first), len(second), 1))
    least = sorted({*first, *second})[:size]
    return len({*least} & {*first} & {*second}) / max(len(least), 1)


def _has_changed(before: float, after: float) -> bool:
    return abs(after - before) > _LEAST_CHANGE * max(before, after)


def _least_hashes(texts: pa.LargeStringArray) -> tuple[int, ...]:
    hashes = {
        int.from_bytes(hashlib.blake2b(text.encode(), digest_size=5).digest())
        for text in texts.to_pylist()
    }
    return tuple(sorted(hashes)[:_SKETCH])
