"""Releasing a log as an immutable batch folder, and opening such a folder."""

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from hooktune._version import __version__
from hooktune.contract.sessions import Batch, Sessions
from hooktune.data.arrow_reader import read_session_blocks
from hooktune.data.assembly import LogColumns, describe_set_aside
from hooktune.data.jsonl import explain, read_items
from hooktune.data.parquet import read_tables, write_tables
from hooktune.errors import DataError, RequestError

FORMAT_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.json"

_HASHED_AT_ONCE: Final = 1 << 20


class BatchCounts(BaseModel):
    """How much of everything a batch holds."""

    model_config = ConfigDict(frozen=True)

    sessions: int
    not_irrelevant: int
    irrelevant: int
    queries: int
    """Distinct queries."""
    items: int
    results: int
    clicks: int


class BatchManifest(BaseModel):
    """What a batch folder says about itself."""

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    batch_id: str
    counts: BatchCounts
    clicks_by_position: tuple[int, ...]
    """How many clicks fell on the first shown position, the second, and so on."""
    set_aside: dict[str, int]
    """What of the log is not in the batch: how many sessions or results for each reason."""
    log_file: str
    items_file: str
    text_template: str
    released_at: AwareDatetime
    hooktune_version: str = __version__


def release_batch(log: Path, items: Path, to: Path, *, text: str = "{text}") -> BatchManifest:
    """Check a log and its items and write them as a batch folder that is never changed again.

    Results whose items are unknown and results repeated within a session are set aside and
    counted. A session that loses a click in this way, or all of its results, is set aside whole:
    without its click it would pass for one in which nothing was found relevant.

    Args:
        log: The sessions, one JSON object a line.
        items: The items, one JSON object a line.
        to: The folder to make. If it holds the very same batch already, nothing is done.
        text: How an item's text is made of its fields, such as `{title}. {text}`.

    Raises:
        DataError: One of the files cannot be used, or nothing of the log is left.
        RequestError: `to` exists and is something else.
    """
    if to.exists() and not (to / MANIFEST_FILE).is_file():
        raise RequestError(f"{to} exists and is not a released batch. Name a folder to be made.")
    sessions, object_ids, set_aside = _read_log(log, items, text)
    if not len(sessions):
        raise DataError(
            f"Nothing is left of {log} to release: {describe_set_aside(set_aside)}. "
            f"{items} is perhaps not the items file of this log."
        )
    batch = Batch(_content_id(sessions, object_ids), sessions, object_ids)
    if to.exists():
        return _same_batch(to, batch.batch_id)
    manifest = BatchManifest(
        batch_id=batch.batch_id,
        counts=_counts(sessions),
        clicks_by_position=_clicks_by_position(sessions),
        set_aside=set_aside,
        log_file=log.name,
        items_file=items.name,
        text_template=text,
        released_at=datetime.now(UTC).replace(microsecond=0),
    )
    _write(batch, manifest, to)
    return manifest


def read_manifest(folder: Path) -> BatchManifest:
    """Read what a batch folder says about itself, without checking its content.

    Raises:
        DataError: The folder is no batch folder, or one of another hooktune version.
    """
    path = folder / MANIFEST_FILE
    try:
        is_folder, exists = folder.is_dir(), folder.exists()
    except OSError as error:
        raise DataError(f"{folder} cannot be a batch folder: {error.strerror}.") from None
    if not is_folder:
        what = "is not a folder" if exists else "does not exist"
        raise DataError(f"{folder} {what}. Name a folder that `hooktune batch release` made.")
    try:
        content = path.read_text(encoding="utf-8")
        version = json.loads(content).get("format_version")
    except FileNotFoundError:
        raise DataError(
            f"{folder} holds no {MANIFEST_FILE}, so it is not a released batch. "
            "Name a folder that `hooktune batch release` made."
        ) from None
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error}. Release the log again.") from None
    if version != FORMAT_VERSION:
        raise DataError(
            f"{folder} has the batch format {version!r}, and hooktune {__version__} reads format "
            f"{FORMAT_VERSION}. Release the log again, or use the hooktune that released it."
        )
    try:
        return BatchManifest.model_validate_json(content)
    except ValidationError as error:
        raise DataError(f"{path} is damaged: {explain(error)} Release the log again.") from None


def open_batch(folder: Path) -> Batch:
    """Open a batch folder and check that it still is what was released.

    Raises:
        DataError: The folder is no batch folder, or was changed after its release.
    """
    manifest = read_manifest(folder)
    tables = read_tables(folder)
    if tables is None or not _is_batch(*tables, manifest):
        raise DataError(
            f"{folder} was changed after its release: its content is not that of the batch "
            f"{manifest.batch_id}. Release the log again, into a new folder."
        )
    return Batch(manifest.batch_id, *tables)


def _is_batch(sessions: Sessions, object_ids: pa.LargeStringArray, manifest: BatchManifest) -> bool:
    """Tell whether columns are what a manifest says."""
    return (
        len(sessions) > 0
        and _counts(sessions) == manifest.counts
        and _content_id(sessions, object_ids) == manifest.batch_id
        and _clicks_by_position(sessions) == manifest.clicks_by_position
    )


def _read_log(
    log: Path, items: Path, template: str
) -> tuple[Sessions, pa.LargeStringArray, dict[str, int]]:
    columns = LogColumns()
    for block in read_session_blocks(log):
        columns.add_block(block)
    columns.add_items(read_items(items, template))
    return columns.usable_sessions()


def _same_batch(folder: Path, batch_id: str) -> BatchManifest:
    """Return the manifest of a batch folder, or refuse to release another batch into it."""
    found = open_batch(folder).batch_id
    if found != batch_id:
        raise RequestError(
            f"{folder} holds the batch {found} already, and this log gives {batch_id}. "
            "Name another folder."
        )
    return read_manifest(folder)


def _write(batch: Batch, manifest: BatchManifest, to: Path) -> None:
    """Write a batch folder beside its place and move it there when it is whole."""
    unfinished = to.with_name(f".{to.name}.{secrets.token_hex(4)}.tmp")
    try:
        unfinished.mkdir(parents=True)
        write_tables(batch, unfinished)
        content = manifest.model_dump_json(indent=2) + "\n"
        (unfinished / MANIFEST_FILE).write_text(content, encoding="utf-8")
        for file in unfinished.iterdir():
            file.chmod(0o444)
        unfinished.rename(to)
    except OSError as error:
        raise RequestError(f"{to} cannot be written: {error.strerror or error}.") from error
    finally:
        # After the move there is nothing left here; after any failure, Ctrl-C too, it must go.
        shutil.rmtree(unfinished, ignore_errors=True)


def _counts(sessions: Sessions) -> BatchCounts:
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


def _clicks_by_position(sessions: Sessions) -> tuple[int, ...]:
    clicked = sessions.clicked
    counts = np.bincount(
        sessions.positions[clicked] - 1,
        weights=sessions.clicks[clicked],
        minlength=sessions.positions.max(),
    )
    return tuple(counts.astype(np.int64).tolist())


def _content_id(sessions: Sessions, object_ids: pa.LargeStringArray) -> str:
    """Derive the id of a batch from its content: 24 hexadecimal digits of its SHA-256."""
    digest = hashlib.sha256(b"hooktune batch 1")
    for part in _content(sessions, object_ids):
        digest.update(part)
    return digest.hexdigest()[:24]


def _content(sessions: Sessions, object_ids: pa.LargeStringArray) -> Iterator[bytes | memoryview]:
    """Yield a batch's columns as bytes, each with its length, so that no two batches agree."""
    for texts in (sessions.session_ids, sessions.queries, object_ids, sessions.items):
        _, bounds, characters = texts.buffers()
        ends = np.frombuffer(bounds, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        yield from _with_length(np.diff(ends), "<i8")
        yield memoryview(characters)[ends[0] : ends[-1]]
    for numbers in (
        sessions.lengths,
        sessions.query_index,
        sessions.item_index,
        sessions.positions,
        sessions.clicks,
        sessions.rank,
    ):
        yield from _with_length(numbers, "<f4" if numbers is sessions.rank else "<i8")


def _with_length(numbers: npt.NDArray[Any], kind: str) -> Iterator[bytes]:
    yield len(numbers).to_bytes(8, "little")
    for start in range(0, len(numbers), _HASHED_AT_ONCE):
        some = numbers[start : start + _HASHED_AT_ONCE].astype(kind)
        if kind == "<f4":
            some[np.isnan(some)] = np.nan
            # Adding zero turns a negative zero, which is the same rank, into a positive one.
            some += 0
        yield some.tobytes()
