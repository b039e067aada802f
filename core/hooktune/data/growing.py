"""Batches that are made of batches: merged, or a part of one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.log_source import Finding
from hooktune.contract.sessions import Batch, Ints, Mask, Sessions
from hooktune.data.canonical import in_canonical_order
from hooktune.data.labels import joined_labels
from hooktune.data.manifest import BatchManifest, EventCount, read_manifest
from hooktune.data.parquet import joined_texts
from hooktune.data.release import About, open_batch, write_batch
from hooktune.errors import DataError, RequestError

SESSION_IN_SEVERAL: Final = "session that an earlier batch has too"
SESSION_NOT_DRAWN: Final = "session of a query that was not drawn"

_EXAMPLES: Final = 3


def merge_batches(folders: Sequence[str | Path], to: str | Path) -> BatchManifest:
    """Make one batch of several, such as those of the last weeks.

    A session that stands in several of them comes once.

    Args:
        folders: Batch folders.
        to: The folder to make.

    Returns:
        What the new folder says about itself.

    Raises:
        DataError: A session or an item differs between two of them, or one is no batch.
        RequestError: Less than two are named, their texts were made by different templates, or
            `to` cannot be written.
    """
    if len(folders) < 2:
        raise RequestError("Name two batches or more to be merged.")
    batches = [open_batch(folder) for folder in folders]
    manifests = [read_manifest(folder) for folder in folders]
    templates = dict.fromkeys(manifest.text_template for manifest in manifests)
    if len(templates) > 1:
        raise RequestError(
            f"The batches have texts of different templates: {', '.join(map(repr, templates))}. "
            "Release their logs with the same --text."
        )
    names, place_of = _joined_names(batches)
    texts = _joined_items(folders, batches, names, place_of)
    sessions = _joined_sessions(batches, names, place_of)
    kept = _first_showings(folders, batches, sessions)
    is_whole = any(manifest.catalogue == "all" for manifest in manifests)
    every_item = np.arange(len(names) if is_whole else 0)
    ordered, used = in_canonical_order(
        sessions.take(kept), names, np.ones(kept.sum(), dtype=bool), every_item
    )
    set_aside: Counter[str] = Counter()
    for manifest in manifests:
        set_aside.update(manifest.set_aside)
    set_aside[SESSION_IN_SEVERAL] += int((~kept).sum())
    about = About(
        events=_joined_events(manifests),
        set_aside={what: count for what, count in set_aside.items() if count},
        found=_joined_findings(manifests),
        log_file=_joined(manifest.log_file for manifest in manifests),
        log_format=_joined(manifest.log_format for manifest in manifests),
        items_file=_joined(manifest.items_file for manifest in manifests),
        text_template=manifests[0].text_template,
        catalogue="all" if is_whole else "shown",
    )
    items = texts.take(pa.array(used))
    return write_batch(replace(ordered, items=items), names.take(pa.array(used)), Path(to), about)


def sample_batch(folder: str | Path, to: str | Path, queries: int, seed: int = 0) -> BatchManifest:
    """Make a smaller batch of some of the queries of one, with all of their sessions.

    They are drawn without replacement, each with a probability in proportion to its sessions, so
    that what is asked often is there and the sample is no list of rarities.

    Args:
        folder: A batch folder.
        to: The folder to make.
        queries: How many queries to draw.
        seed: The seed of the draw.

    Returns:
        What the new folder says about itself.

    Raises:
        DataError: The folder is no batch.
        RequestError: It has less queries, or `to` cannot be written.
    """
    batch, manifest = open_batch(folder), read_manifest(folder)
    sessions = batch.sessions
    if not 1 <= queries <= len(sessions.queries):
        raise RequestError(
            f"{folder} has {len(sessions.queries)} queries, of which {queries} cannot be drawn."
        )
    # By text, so that a query has the same luck wherever it stands.
    by_text: Ints = pc.sort_indices(sessions.queries).to_numpy()
    frequency = np.bincount(sessions.query_index, minlength=len(by_text))[by_text]
    random = np.random.default_rng(seed)
    drawn = by_text[
        random.choice(len(by_text), queries, replace=False, p=frequency / frequency.sum())
    ]
    kept = np.isin(sessions.query_index, drawn)
    every_item = np.arange(len(batch.object_ids) if manifest.catalogue == "all" else 0)
    ordered, used = in_canonical_order(sessions, batch.object_ids, kept, every_item)
    gone = {SESSION_NOT_DRAWN: int((~kept).sum())} if not kept.all() else {}
    about = About(
        events=manifest.events,
        set_aside=manifest.set_aside | gone,
        found=manifest.found,
        log_file=manifest.log_file,
        log_format=manifest.log_format,
        items_file=manifest.items_file,
        text_template=manifest.text_template,
        catalogue=manifest.catalogue,
    )
    items = sessions.items.take(pa.array(used))
    names = batch.object_ids.take(pa.array(used))
    return write_batch(replace(ordered, items=items), names, Path(to), about)


def _joined_names(batches: Sequence[Batch]) -> tuple[pa.LargeStringArray, list[Ints]]:
    """Return the names of the items of all batches, and for each batch their places in these."""
    encoded = joined_texts([batch.object_ids for batch in batches]).dictionary_encode()
    places = encoded.indices.to_numpy()
    ends = np.cumsum([len(batch.object_ids) for batch in batches])
    return encoded.dictionary, np.split(places, ends[:-1])


def _joined_items(
    folders: Sequence[str | Path],
    batches: Sequence[Batch],
    names: pa.LargeStringArray,
    place_of: list[Ints],
) -> pa.LargeStringArray:
    """Return the texts of all items, each of which has one."""
    texts = joined_texts([batch.sessions.items for batch in batches])
    places = np.concatenate(place_of)
    first = np.zeros(len(names), dtype=np.int64)
    first[places[::-1]] = np.arange(len(places))[::-1]
    differs = pc.not_equal(texts, texts.take(pa.array(first[places])))
    wrong = pc.index(differs, True).as_py()
    if wrong >= 0:
        ends = np.cumsum([len(batch.object_ids) for batch in batches])
        batch = int(np.searchsorted(ends, wrong, side="right"))
        raise DataError(
            f"The item {names[int(places[wrong])].as_py()!r} has another text in {folders[batch]} "
            "than in a batch before. Release the older logs again with the items of today."
        )
    return texts.take(pa.array(first))


def _joined_sessions(
    batches: Sequence[Batch], names: pa.LargeStringArray, place_of: list[Ints]
) -> Sessions:
    every = [batch.sessions for batch in batches]

    def together(values: Iterable[Any]) -> Any:
        return np.concatenate([*values])

    queries_before = np.cumsum([0, *(len(each.queries) for each in every)])
    lengths = together(each.lengths for each in every)
    is_weighted = any(each.weights is not None for each in every)
    weights = together(each.grades for each in every).astype(np.float32)
    return Sessions(
        queries=joined_texts([each.queries for each in every]),
        items=names,
        session_ids=joined_texts([each.session_ids for each in every]),
        query_index=together(
            each.query_index + before
            for each, before in zip(every, queries_before[:-1], strict=True)
        ),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        item_index=together(
            places[each.item_index] for each, places in zip(every, place_of, strict=True)
        ),
        clicks=together(each.clicks for each in every),
        rank=together(each.rank for each in every),
        shown_at=together(each.positions for each in every),
        weights=weights if is_weighted else None,
        times=_together_or_none([each.times for each in every]),
        users=_together_or_none([each.users for each in every]),
        labels=joined_labels(every),
    )


def _together_or_none(columns: Sequence[Ints | None]) -> Ints | None:
    """Return a column of all batches; None where one of them lacks it."""
    known = [column for column in columns if column is not None]
    return np.concatenate(known) if len(known) == len(columns) else None


def _first_showings(
    folders: Sequence[str | Path], batches: Sequence[Batch], sessions: Sessions
) -> Mask:
    """Tell of each session whether it comes first, and refuse those that differ from the first."""
    encoded = sessions.session_ids.dictionary_encode()
    _, first, place = np.unique(encoded.indices.to_numpy(), return_index=True, return_inverse=True)
    kept: Mask = first[place] == np.arange(len(sessions))
    for session in np.flatnonzero(~kept).tolist():
        if _content(sessions, session) != _content(sessions, int(first[place[session]])):
            ends = np.cumsum([len(batch.sessions) for batch in batches])
            batch = int(np.searchsorted(ends, session, side="right"))
            raise DataError(
                f"The session {sessions.session_ids[session].as_py()!r} of {folders[batch]} is "
                "another one in a batch before. Give each session an id of its own."
            )
    return kept


def _content(sessions: Sessions, session: int) -> tuple[Any, ...]:
    start, stop = sessions.offsets[session : session + 2]
    columns = (sessions.item_index, sessions.positions, sessions.clicks, sessions.grades)
    query = sessions.queries[int(sessions.query_index[session])].as_py()
    return query, *(column[start:stop].tolist() for column in columns)


def _joined_events(manifests: Sequence[BatchManifest]) -> tuple[EventCount, ...] | None:
    counts: dict[EventCount, int] = {}
    for manifest in manifests:
        if manifest.events is None:
            return None
        for event in manifest.events:
            kind = event.model_copy(update={"count": 0})
            counts[kind] = counts.get(kind, 0) + event.count
    return tuple(kind.model_copy(update={"count": count}) for kind, count in counts.items())


def _joined_findings(manifests: Sequence[BatchManifest]) -> tuple[Finding, ...]:
    found: dict[str, Finding] = {}
    for finding in (finding for manifest in manifests for finding in manifest.found):
        before = found.get(finding.what, Finding(what=finding.what, count=0))
        examples = (*before.examples, *finding.examples)[:_EXAMPLES]
        count = before.count + finding.count
        found[finding.what] = Finding(what=finding.what, count=count, examples=examples)
    return tuple(found.values())


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
