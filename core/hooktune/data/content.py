"""What the columns of a batch hold: its id, its counts, and whether they can be a batch at all."""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.images import are_images
from hooktune.contract.sessions import Mask, Sessions
from hooktune.data.labels import is_possible, label_counts
from hooktune.data.manifest import BatchCounts, BatchManifest, ImageCounts

_HASHED_AT_ONCE: Final = 1 << 20


def first_fault(
    sessions: Sessions, object_ids: pa.LargeStringArray, manifest: BatchManifest
) -> str | None:
    """Say in what the columns of a batch folder are not the batch of its manifest, if in anything.

    Whoever writes a manifest can make it agree with any columns. So they are checked first for
    being what a release writes, and nothing is computed from them that a wrong number could break.
    """
    fault = _impossible(sessions, object_ids, last_position=len(manifest.clicks_by_position))
    if fault is not None:
        return fault
    weights = sessions.weights
    if weights is not None and not np.array_equal((weights > 0) & np.isfinite(weights),
                                                  sessions.clicked):  # fmt: skip
        return "a weight of a clicked result is none, or one of another is not 0"
    clicked = int(sessions.clicked.sum())
    if (
        counts_of(sessions) != manifest.counts
        or clicks_by_position(sessions) != manifest.clicks_by_position
        or manifest.clicked_results not in (None, clicked)
        or label_counts(sessions) != manifest.labels
        or content_id(sessions, object_ids) != manifest.batch_id
    ):
        return f"its content is not that of the batch {manifest.batch_id}"
    return None


def _impossible(
    sessions: Sessions, object_ids: pa.LargeStringArray, last_position: int
) -> str | None:
    """Say what no release could have written; None where there is nothing of the kind."""
    if not len(sessions):
        return "it holds no session"
    empty = np.flatnonzero(sessions.lengths < 1)
    if len(empty):
        return f"the session {sessions.session_ids[empty[0]].as_py()!r} shows no result"
    if not is_possible(sessions.labels, len(sessions)):
        return "it holds labels that are none"
    positions, items = sessions.positions, sessions.item_index
    rises = np.ones(len(positions), dtype=bool)
    rises[1:] = np.diff(positions) > 0
    rises[sessions.offsets[:-1]] = True
    wrong_results = {
        f"an item that is none of the {len(sessions.items)}": _is_outside(
            items, 0, len(sessions.items) - 1
        ),
        "a result at an impossible position": _is_outside(positions, 1, last_position) | ~rises,
        "a result with less than no clicks": sessions.clicks < 0,
        "a result with an infinite rank": np.isinf(sessions.rank),
    }
    for what, is_wrong in wrong_results.items():
        if is_wrong.any():
            place = np.searchsorted(sessions.offsets, np.argmax(is_wrong), side="right") - 1
            return f"the session {sessions.session_ids[int(place)].as_py()!r} shows {what}"
    for what, names in (("session ids", sessions.session_ids), ("items", object_ids)):
        if not pc.all(pc.less(names[:-1], names[1:]), min_count=0).as_py():
            return f"its {what} are not in order, or one of them comes twice"
    return None


def _is_outside(values: npt.NDArray[np.integer], least: int, greatest: int) -> Mask:
    return (values < least) | (values > greatest)


def counts_of(sessions: Sessions) -> BatchCounts:
    """Count what some sessions hold."""
    not_irrelevant = int(sessions.not_irrelevant.sum())
    return BatchCounts(
        sessions=len(sessions),
        not_irrelevant=not_irrelevant,
        irrelevant=len(sessions) - not_irrelevant,
        queries=len(sessions.queries),
        items=len(sessions.items),
        results=sessions.result_count,
        clicks=int(sessions.clicks.sum()),
    )


def images_of(sessions: Sessions) -> ImageCounts | None:
    """Count which of the queries and items are images; None where none is."""
    of_queries, of_items = are_images(sessions.queries), are_images(sessions.items)
    if not (of_queries.any() or of_items.any()):
        return None
    return ImageCounts(queries=int(of_queries.sum()), items=int(of_items.sum()))


def clicks_by_position(sessions: Sessions) -> tuple[int, ...]:
    """Return how many clicks fell on the first shown position, the second, and so on."""
    clicked = sessions.clicked
    counts = np.bincount(
        sessions.positions[clicked] - 1,
        weights=sessions.clicks[clicked],
        minlength=sessions.positions.max(),
    )
    return tuple(counts.astype(np.int64).tolist())


def content_id(sessions: Sessions, object_ids: pa.LargeStringArray) -> str:
    """Derive the id of a batch from its content: 24 hexadecimal digits of its SHA-256."""
    digest = hashlib.sha256(b"hooktune batch 1")
    for part in _content(sessions, object_ids):
        digest.update(part)
    return digest.hexdigest()[:24]


def _content(sessions: Sessions, object_ids: pa.LargeStringArray) -> Iterator[bytes | memoryview]:
    """Yield a batch's columns as bytes, each with its length, so that no two batches agree."""
    for texts in (sessions.session_ids, sessions.queries, object_ids, sessions.items):
        yield from _of_texts(texts)
    for numbers in (
        sessions.lengths,
        sessions.query_index,
        sessions.item_index,
        sessions.positions,
        sessions.clicks,
        sessions.rank,
    ):
        yield from _with_length(numbers, "<f4" if numbers is sessions.rank else "<i8")
    if sessions.weights is not None:
        yield b"weights"
        yield from _with_length(sessions.weights, "<f4")
    for name in ("times", "users"):
        if (column := getattr(sessions, name)) is not None:
            yield name.encode()
            yield from _with_length(column, "<i8")
    if sessions.labels is not None:
        for name in sessions.labels.schema.names:
            yield b"label"
            # No label is an empty text, which stands for none.
            values = sessions.labels[name].cast(pa.large_string()).fill_null("")
            yield from _of_texts(pa.array([name], pa.large_string()))
            yield from _of_texts(values)


def _of_texts(texts: pa.LargeStringArray) -> Iterator[bytes | memoryview]:
    _, bounds, characters = texts.buffers()
    ends = np.frombuffer(bounds, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    yield from _with_length(np.diff(ends), "<i8")
    yield memoryview(characters)[ends[0] : ends[-1]]


def _with_length(numbers: npt.NDArray[Any], kind: str) -> Iterator[bytes]:
    yield len(numbers).to_bytes(8, "little")
    for start in range(0, len(numbers), _HASHED_AT_ONCE):
        some = numbers[start : start + _HASHED_AT_ONCE].astype(kind)
        if kind == "<f4":
            some[np.isnan(some)] = np.nan
            # Adding zero turns a negative zero, which is the same rank, into a positive one.
            some += 0
        yield some.tobytes()
