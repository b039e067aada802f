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
import pyarrow.parquet as pq
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from hooktune import __version__
from hooktune.batch import Batch, Sessions
from hooktune.errors import DataError, RequestError
from hooktune.formats import explain, read_items, read_sessions
from hooktune.log_columns import LogColumns, describe_set_aside

FORMAT_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.json"
SESSIONS_FILE: Final = "sessions.parquet"
ITEMS_FILE: Final = "items.parquet"

_SESSIONS_SCHEMA = pa.schema(
    [
        ("session_id", pa.string()),
        ("query", pa.string()),
        ("items", pa.list_(pa.int32())),
        ("positions", pa.list_(pa.int32())),
        ("clicks", pa.list_(pa.int32())),
        ("ranks", pa.list_(pa.float32())),
    ]
)
_ITEMS_SCHEMA = pa.schema([("object_id", pa.string()), ("text", pa.string())])


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
    columns = LogColumns()
    for session in read_sessions(log):
        columns.add_session(session)
    for item in read_items(items, text):
        columns.add_item(item)
    sessions, set_aside = columns.usable_sessions()
    if not len(sessions):
        raise DataError(
            f"Nothing is left of {log} to release: {describe_set_aside(set_aside)}. "
            f"{items} is perhaps not the items file of this log."
        )
    sessions, object_ids = columns.in_canonical_order(sessions)
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
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
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
    table = _read_table(folder / SESSIONS_FILE, _SESSIONS_SCHEMA)
    items = _read_table(folder / ITEMS_FILE, _ITEMS_SCHEMA)
    sessions = _sessions_of(table, items["text"].combine_chunks())
    object_ids = items["object_id"].combine_chunks()
    if (
        sessions is None
        or items["text"].null_count
        or items["object_id"].null_count
        or not len(sessions)
        or _counts(sessions) != manifest.counts
        or _content_id(sessions, object_ids) != manifest.batch_id
        or _clicks_by_position(sessions) != manifest.clicks_by_position
    ):
        raise DataError(
            f"{folder} was changed after its release: its content is not that of the batch "
            f"{manifest.batch_id}. Release the log again, into a new folder."
        )
    return Batch(manifest.batch_id, sessions, object_ids)


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
        sessions = _sessions_table(batch.sessions)
        pq.write_table(sessions, unfinished / SESSIONS_FILE, compression="zstd")
        items = pa.table([batch.object_ids, batch.sessions.items], schema=_ITEMS_SCHEMA)
        pq.write_table(items, unfinished / ITEMS_FILE, compression="zstd")
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


def _sessions_table(sessions: Sessions) -> pa.Table:
    def per_session(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
        offsets = pa.array(sessions.offsets, pa.int32())
        return pa.ListArray.from_arrays(offsets, pa.array(values, kind, from_pandas=True))

    columns = [
        sessions.session_ids,
        sessions.queries.take(pa.array(sessions.query_index)),
        per_session(sessions.item_index, pa.int32()),
        per_session(sessions.positions, pa.int32()),
        per_session(sessions.clicks, pa.int32()),
        per_session(sessions.rank, pa.float32()),
    ]
    return pa.table(columns, schema=_SESSIONS_SCHEMA)


def _read_table(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Release the log again, into a new folder.") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} is damaged: {error}. Release the log again, into a new folder."
        ) from None
    if table.schema != schema:
        raise DataError(
            f"{path} has other columns than a released batch. "
            "Release the log again, into a new folder."
        )
    return table


def _sessions_of(table: pa.Table, texts: pa.StringArray) -> Sessions | None:
    """Return the sessions of a table, or None if its columns do not fit together."""
    results = {name: table[name].combine_chunks() for name in table.column_names[2:]}
    lengths = results["items"].value_lengths()
    values = {name: lists.flatten() for name, lists in results.items()}
    if (
        any(column.null_count for column in table.columns)
        or any(values[name].null_count for name in ("items", "positions", "clicks"))
        or not all(lists.value_lengths().equals(lengths) for lists in results.values())
    ):
        return None
    queries = table["query"].combine_chunks().dictionary_encode()
    return Sessions(
        queries=queries.dictionary,
        items=texts,
        session_ids=table["session_id"].combine_chunks(),
        query_index=queries.indices.to_numpy(),
        offsets=np.concatenate([[0], np.cumsum(lengths.to_numpy(), dtype=np.int64)]),
        item_index=values["items"].to_numpy(),
        clicks=values["clicks"].to_numpy(),
        rank=values["ranks"].to_numpy(zero_copy_only=False),
        shown_at=values["positions"].to_numpy(),
    )


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
    counts = np.bincount(sessions.positions - 1, weights=sessions.clicks)
    return tuple(counts.astype(np.int64).tolist())


def _content_id(sessions: Sessions, object_ids: pa.StringArray) -> str:
    """Derive the id of a batch from its content: 24 hexadecimal digits of its SHA-256."""
    digest = hashlib.sha256(b"hooktune batch 1")
    for part in _content(sessions, object_ids):
        digest.update(part)
    return digest.hexdigest()[:24]


def _content(sessions: Sessions, object_ids: pa.StringArray) -> Iterator[bytes | memoryview]:
    """Yield a batch's columns as bytes, each with its length, so that no two batches agree."""
    for texts in (sessions.session_ids, sessions.queries, object_ids, sessions.items):
        _, bounds, characters = texts.buffers()
        ends = np.frombuffer(bounds, np.int32)[texts.offset : texts.offset + len(texts) + 1]
        yield from _with_length(np.diff(ends), "<i8")
        yield memoryview(characters)[ends[0] : ends[-1]]
    for numbers in (
        sessions.lengths,
        sessions.query_index,
        sessions.item_index,
        sessions.positions,
        sessions.clicks,
    ):
        yield from _with_length(numbers, "<i8")
    # Adding zero turns a negative zero, which is the same rank, into a positive one.
    rank = np.where(np.isnan(sessions.rank), np.float32("nan"), sessions.rank + np.float32(0))
    yield from _with_length(rank, "<f4")


def _with_length(numbers: npt.NDArray[Any], kind: str) -> Iterator[bytes]:
    yield len(numbers).to_bytes(8, "little")
    yield numbers.astype(kind).tobytes()
