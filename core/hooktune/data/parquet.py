"""The Parquet tables of a batch folder, written and read some thousands of rows at a time."""

from array import array
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hooktune.contract.files import check_is_no_pipe
from hooktune.contract.sessions import Batch, Sessions
from hooktune.data.labels import labels_of_blocks
from hooktune.data.manifest import BatchManifest
from hooktune.errors import DataError

SESSIONS_FILE: Final = "sessions.parquet"
ITEMS_FILE: Final = "items.parquet"
_LABEL: Final = "label."
"""How the names of the columns begin that hold labels, so that they are like no others."""

_SESSION_FIELDS: Final = [
    ("session_id", pa.string()),
    ("query", pa.string()),
    ("items", pa.list_(pa.int32())),
    ("positions", pa.list_(pa.int32())),
    ("clicks", pa.list_(pa.int32())),
    ("ranks", pa.list_(pa.float32())),
]
_OPTIONAL_FIELDS: Final[dict[Literal["weights", "times", "users"], pa.DataType]] = {
    "weights": pa.list_(pa.float32()),
    "times": pa.int64(),
    "users": pa.int64(),
}
_ITEMS_SCHEMA = pa.schema([("object_id", pa.string()), ("text", pa.string())])
# A row group is what is held in memory at once, and Arrow's short texts end at 2 GB.
_SESSIONS_AT_ONCE: Final = 65_536
_ITEMS_AT_ONCE: Final = 8_192
# What a file may hold however small it is, and for each of its bytes beyond that.
_ALWAYS_TAKEN: Final = 1 << 28
_MOST_PER_BYTE: Final = 1_000


def changed_since_release(path: Path, what: str) -> DataError:
    """Return the error that a folder, or a file in it, is not what was released."""
    return DataError(
        f"{path} was changed after its release: {what}. Release the log again, into a new folder."
    )


def write_tables(batch: Batch, folder: Path) -> None:
    """Write the sessions and the items of a batch into a folder."""
    sessions = batch.sessions
    schema = _sessions_schema(columns_of(sessions), labels_in(sessions))
    # So many items are different that a dictionary of them takes long and saves little.
    in_dictionary = [_leaf(field) for field in schema if field.name != "items"]
    with pq.ParquetWriter(
        folder / SESSIONS_FILE, schema, compression="zstd", use_dictionary=in_dictionary
    ) as writer:
        for start in range(0, len(sessions), _SESSIONS_AT_ONCE):
            stop = min(start + _SESSIONS_AT_ONCE, len(sessions))
            writer.write_table(_sessions_table(sessions, schema, start, stop))
    with pq.ParquetWriter(folder / ITEMS_FILE, _ITEMS_SCHEMA, compression="zstd") as writer:
        for start in range(0, len(sessions.items), _ITEMS_AT_ONCE):
            columns = (batch.object_ids, sessions.items)
            some = [texts.slice(start, _ITEMS_AT_ONCE).cast(pa.string()) for texts in columns]
            writer.write_table(pa.table(some, schema=_ITEMS_SCHEMA))


def _leaf(field: pa.Field) -> str:
    """Return the path that Parquet has for the values of a column."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name


def columns_of(sessions: Sessions) -> tuple[Literal["weights", "times", "users"], ...]:
    """Return which of the columns that a batch may lack some sessions have."""
    return tuple(name for name in _OPTIONAL_FIELDS if getattr(sessions, name) is not None)


def labels_in(sessions: Sessions) -> tuple[str, ...]:
    """Return the names of the labels that some sessions have."""
    return () if sessions.labels is None else tuple(sessions.labels.schema.names)


def _sessions_schema(columns: Collection[str], labels: Iterable[str]) -> pa.Schema:
    optional = [(name, kind) for name, kind in _OPTIONAL_FIELDS.items() if name in columns]
    of_labels = [(f"{_LABEL}{name}", pa.string()) for name in labels]
    return pa.schema([*_SESSION_FIELDS, *optional, *of_labels])


def read_tables(folder: Path, manifest: BatchManifest) -> tuple[Sessions, pa.LargeStringArray]:
    """Read the sessions of a batch folder and the names of their items.

    Args:
        folder: The batch folder.
        manifest: Says what it holds, and how much; nothing else is read into memory.

    Raises:
        DataError: A table is missing, damaged or another one, or holds more or less than that.
    """
    path, counts = folder / SESSIONS_FILE, manifest.counts
    label_names = [label.name for label in manifest.labels]
    if len(set(label_names)) < len(label_names):
        raise changed_since_release(folder, "two of its labels have one name")
    schema = _sessions_schema(manifest.columns, label_names)
    lists = [name for name in schema.names if pa.types.is_list(schema.field(name).type)]
    sizes = [counts.results if name in lists else counts.sessions for name in schema.names]
    session_ids, queries = [], []
    lengths, items, positions, clicks = (array("i") for _ in range(4))
    rank, weights = array("f"), array("f")
    of_sessions = {name: array("q") for name in ("times", "users") if name in manifest.columns}
    labels: dict[str, list[pa.Array]] = {name: [] for name in label_names}
    for rows in _read_rows(path, schema, sizes):
        results = {name: rows[name] for name in lists}
        shown = results["items"].value_lengths()
        values = {name: each.flatten() for name, each in results.items()}
        if any(values[name].null_count for name in lists if name != "ranks"):
            raise changed_since_release(path, "a result has no item, position, clicks or weight")
        if not all(each.value_lengths().equals(shown) for each in results.values()):
            raise changed_since_release(path, "a session's columns are of different lengths")
        session_ids.append(rows["session_id"])
        queries.append(rows["query"])
        append_numbers(lengths, shown.to_numpy())
        append_numbers(items, values["items"].to_numpy())
        append_numbers(positions, values["positions"].to_numpy())
        append_numbers(clicks, values["clicks"].to_numpy())
        append_numbers(rank, values["ranks"].to_numpy(zero_copy_only=False))
        for name, column in of_sessions.items():
            append_numbers(column, rows[name].to_numpy())
        for label, blocks in labels.items():
            blocks.append(rows[f"{_LABEL}{label}"])
        if "weights" in lists:
            append_numbers(weights, values["weights"].to_numpy())
    object_ids, texts = [], []
    for rows in _read_rows(folder / ITEMS_FILE, _ITEMS_SCHEMA, [counts.items] * 2):
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
        weights=np.asarray(weights) if "weights" in lists else None,
        labels=labels_of_blocks(labels),
        **{name: np.asarray(column) for name, column in of_sessions.items()},
    )
    return sessions, joined_texts(object_ids)


def joined_texts(blocks: list[pa.Array]) -> pa.LargeStringArray:
    """Join blocks of texts, which may be more than 2 GB together, to one array."""
    large = [block.cast(pa.large_string()) for block in blocks]
    return pa.concat_arrays(large) if large else pa.array([], pa.large_string())


def append_numbers(column: "array[Any]", numbers: npt.NDArray[Any]) -> None:
    """Append numbers to a growing column, in the column's own type."""
    column.frombytes(numbers.astype(column.typecode).tobytes())


def _sessions_table(sessions: Sessions, schema: pa.Schema, start: int, stop: int) -> pa.Table:
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
    if sessions.weights is not None:
        columns.append(per_session(sessions.weights, pa.float32()))
    columns += [
        pa.array(values[start:stop], pa.int64())
        for values in (sessions.times, sessions.users)
        if values is not None
    ]
    if sessions.labels is not None:
        some = sessions.labels.slice(start, stop - start)
        columns += [column.cast(pa.string()) for column in some.columns]
    return pa.table(columns, schema=schema)


def _read_rows(path: Path, schema: pa.Schema, counts: list[int]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table, some at a time.

    Args:
        path: The file.
        schema: Its columns.
        counts: For each column, how many values it has to hold.
    """
    texts = [field.name for field in schema if field.type == pa.string()]
    may_lack = [name for name in schema.names if name.startswith(_LABEL)]
    try:
        check_is_no_pipe(path)
        with pq.ParquetFile(path) as file:
            _check_footer(path, file, schema, counts)
        decoded = 0
        # A text that comes often is held once until it is known how much all of them take.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for rows in file.iter_batches(_SESSIONS_AT_ONCE, use_threads=False):
                if any(rows[name].null_count for name in schema.names if name not in may_lack):
                    raise changed_since_release(path, "a column has a gap")
                decoded += sum(_text_bytes(rows[name]) for name in texts)
                _refuse_more_than_fits(path, decoded)
                yield rows
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Release the log again, into a new folder.") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} is damaged: {error}. Release the log again, into a new folder."
        ) from None


def _check_footer(path: Path, file: pq.ParquetFile, schema: pa.Schema, counts: list[int]) -> None:
    """Compare what a table says of itself with what it has to be, before any of it is read."""
    if file.schema_arrow != schema:
        raise DataError(
            f"{path} has other columns than a released batch. "
            "Release the log again, into a new folder."
        )
    footer = file.metadata
    groups = [footer.row_group(place) for place in range(footer.num_row_groups)]
    if footer.num_rows != counts[0]:
        raise changed_since_release(
            path, f"it has {footer.num_rows} rows, and the manifest says {counts[0]}"
        )
    size = 0
    for place, (name, count) in enumerate(zip(schema.names, counts, strict=True)):
        columns = [group.column(place) for group in groups]
        found = sum(column.num_values for column in columns)
        if found != count:
            raise changed_since_release(
                path, f"its column {name} has {found} values, and the manifest says {count}"
            )
        size += max(4 * count, sum(column.total_uncompressed_size for column in columns))
    _refuse_more_than_fits(path, size)


def _text_bytes(texts: pa.DictionaryArray) -> int:
    """Return how many bytes texts take of which each is held once, after checking them."""
    texts.dictionary.validate(full=True)
    lengths = pc.binary_length(texts.dictionary)
    return int(pc.sum(pc.cast(lengths.take(texts.indices), pa.int64()), min_count=0).as_py())


def _refuse_more_than_fits(path: Path, size: int) -> None:
    on_disk = path.stat().st_size
    if size > _ALWAYS_TAKEN + _MOST_PER_BYTE * on_disk:
        raise changed_since_release(
            path, f"its {on_disk} bytes stand for {size}, and no released table is so empty"
        )
