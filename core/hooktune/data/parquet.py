"""The Parquet tables of a batch folder, written and read some thousands of rows at a time."""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hooktune.contract.sessions import Batch, Sessions
from hooktune.errors import DataError

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
# A row group is what is held in memory at once, and Arrow's short texts end at 2 GB.
_SESSIONS_AT_ONCE: Final = 65_536
_ITEMS_AT_ONCE: Final = 8_192


def write_tables(batch: Batch, folder: Path) -> None:
    """Write the sessions and the items of a batch into a folder."""
    sessions = batch.sessions
    with pq.ParquetWriter(folder / SESSIONS_FILE, _SESSIONS_SCHEMA, compression="zstd") as writer:
        for start in range(0, len(sessions), _SESSIONS_AT_ONCE):
            stop = min(start + _SESSIONS_AT_ONCE, len(sessions))
            writer.write_table(_sessions_table(sessions, start, stop))
    with pq.ParquetWriter(folder / ITEMS_FILE, _ITEMS_SCHEMA, compression="zstd") as writer:
        for start in range(0, len(sessions.items), _ITEMS_AT_ONCE):
            columns = (batch.object_ids, sessions.items)
            some = [texts.slice(start, _ITEMS_AT_ONCE).cast(pa.string()) for texts in columns]
            writer.write_table(pa.table(some, schema=_ITEMS_SCHEMA))


def read_tables(folder: Path) -> tuple[Sessions, pa.LargeStringArray] | None:
    """Read the sessions of a batch folder and the names of their items.

    Returns:
        None if the columns do not fit together.

    Raises:
        DataError: A table is missing, damaged or another one.
    """
    session_ids, queries = [], []
    lengths, items, positions, clicks = (array("i") for _ in range(4))
    rank = array("f")
    for rows in _read_rows(folder / SESSIONS_FILE, _SESSIONS_SCHEMA):
        results = {name: rows[name] for name in rows.schema.names[2:]}
        counts = results["items"].value_lengths()
        values = {name: lists.flatten() for name, lists in results.items()}
        if (
            any(column.null_count for column in rows.columns)
            or any(values[name].null_count for name in ("items", "positions", "clicks"))
            or not all(lists.value_lengths().equals(counts) for lists in results.values())
        ):
            return None
        session_ids.append(rows["session_id"])
        queries.append(rows["query"])
        append_numbers(lengths, counts.to_numpy())
        append_numbers(items, values["items"].to_numpy())
        append_numbers(positions, values["positions"].to_numpy())
        append_numbers(clicks, values["clicks"].to_numpy())
        append_numbers(rank, values["ranks"].to_numpy(zero_copy_only=False))
    object_ids, texts = [], []
    for rows in _read_rows(folder / ITEMS_FILE, _ITEMS_SCHEMA):
        if any(column.null_count for column in rows.columns):
            return None
        object_ids.append(rows["object_id"])
        texts.append(rows["text"])
    query_of = joined_texts(queries).dictionary_encode()
    sessions = Sessions(
        queries=query_of.dictionary,
        items=joined_texts(texts),
        session_ids=joined_texts(session_ids),
        query_index=query_of.indices.to_numpy(),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        item_index=np.asarray(items),
        clicks=np.asarray(clicks),
        rank=np.asarray(rank),
        shown_at=np.asarray(positions),
    )
    return sessions, joined_texts(object_ids)


def joined_texts(blocks: list[pa.Array]) -> pa.LargeStringArray:
    """Join blocks of texts, which may be more than 2 GB together, to one array."""
    large = [block.cast(pa.large_string()) for block in blocks]
    return pa.concat_arrays(large) if large else pa.array([], pa.large_string())


def append_numbers(column: "array[Any]", numbers: npt.NDArray[Any]) -> None:
    """Append numbers to a growing column, in the column's own type."""
    column.frombytes(numbers.astype(column.typecode).tobytes())


def _sessions_table(sessions: Sessions, start: int, stop: int) -> pa.Table:
    first, last = sessions.offsets[[start, stop]]
    offsets = pa.array(sessions.offsets[start : stop + 1] - first, pa.int32())

    def per_session(values: npt.NDArray[Any], kind: pa.DataType) -> pa.Array:
        shown = pa.array(values[first:last], kind, from_pandas=True)
        return pa.ListArray.from_arrays(offsets, shown)

    queries = sessions.queries.take(pa.array(sessions.query_index[start:stop]))
    columns = [
        sessions.session_ids.slice(start, stop - start).cast(pa.string()),
        queries.cast(pa.string()),
        per_session(sessions.item_index, pa.int32()),
        per_session(sessions.positions, pa.int32()),
        per_session(sessions.clicks, pa.int32()),
        per_session(sessions.rank, pa.float32()),
    ]
    return pa.table(columns, schema=_SESSIONS_SCHEMA)


def _read_rows(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow != schema:
                raise DataError(
                    f"{path} has other columns than a released batch. "
                    "Release the log again, into a new folder."
                )
            yield from file.iter_batches(_SESSIONS_AT_ONCE, use_threads=False)
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Release the log again, into a new folder.") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} is damaged: {error}. Release the log again, into a new folder."
        ) from None
