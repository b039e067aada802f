"""The files in which a run keeps what its evaluation found, and reading them again."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from hooktune.errors import HooktuneError
from hooktune.tracking.artifacts import read_artifact

if TYPE_CHECKING:
    from hooktune.tracking import RunRecord, Tracker

Kept = TypeVar("Kept")


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return cast("bytes", sink.getvalue().to_pybytes())


def read_kept(
    tracker: "Tracker", run: "RunRecord", file: str, read: Callable[[bytes], Kept]
) -> Kept | None:
    """Return what a run has kept in a file; None for a run of a version that kept nothing there.

    Args:
        tracker: The tracking store.
        run: The run.
        file: The file among its artifacts.
        read: Makes of its content what it stands for; raises a `HooktuneError` where it cannot.

    Raises:
        HooktuneError: It cannot be read.
    """
    content = read_artifact(tracker.client, run.run_id, file)
    if content is None:
        return None
    try:
        return read(content)
    except HooktuneError as error:
        raise HooktuneError(f"Run {run.run_id} is broken: {error}.") from error
