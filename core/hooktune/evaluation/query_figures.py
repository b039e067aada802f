"""What there is for each test query: its metrics before tuning and after it."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hooktune.contract.images import in_words
from hooktune.contract.listing import Tabular
from hooktune.contract.query_text import normal_forms
from hooktune.contract.sessions import Floats, Ints, Sessions
from hooktune.errors import HooktuneError, RequestError
from hooktune.evaluation.kept_files import parquet_bytes, read_kept

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

    from hooktune.tracking import RunRecord, Tracker

QUERIES_FILE: Final = "evaluation/queries.parquet"
HOLDOUT_QUERIES_FILE: Final = "evaluation/holdout_queries.parquet"
"""Where a run keeps them, among its artifacts."""

_LONGEST_QUERY: Final = 500
"""Characters of a query that are kept; its key is of all of it."""
_OWN_COLUMNS: Final = ("query", "key", "sessions", "results", "is_in_training")


class QueryPairs(NamedTuple):
    """A metric of those Q queries that have it, before tuning and after it."""

    before: Floats
    after: Floats
    sessions: Ints
    """Of how many sessions each is the mean."""
    places: Ints
    """The rows of the queries in the table."""


@dataclass(frozen=True, eq=False, repr=False)
class QueryFigures(Tabular):
    """The metrics of each test query, before tuning and after it.

    As a table it has a row for each query, with `query`, the first 500 characters of its text;
    `key`, 16 hex digits of the digest of all of it; `sessions`, how many test sessions it has;
    `results`, how many they show on average; `is_in_training`, whether a training session has the
    same query in other letters or with other blanks; and for each metric that is known by session
    `<metric>.sessions`, how many sessions have it, and the means over these, `<metric>.before`
    under the starting model and `<metric>.after` under the run's.
    """

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        return f"<QueryFigures: {len(self)} queries, {len(self.metrics)} metrics>"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are known for each query, with the prefix `test_`."""
        names = self.table.column_names
        return tuple(name.removesuffix(".before") for name in names if name.endswith(".before"))

    @property
    def leaked(self) -> int:
        """How many of the queries were trained on in other letters or with other blanks."""
        return int(pc.sum(self.table.column("is_in_training")).as_py() or 0)

    def pairs(self, metric: str) -> QueryPairs:
        """Return a metric of the queries that have it; of none where it is not known by query."""
        if metric not in self.metrics:
            none = np.empty(0, np.int64)
            return QueryPairs(np.empty(0), np.empty(0), none, none)
        sessions = self.column(f"{metric}.sessions")
        places = np.flatnonzero(sessions)
        before, after = (
            self.column(f"{metric}.{when}")[places].astype(np.float64)
            for when in ("before", "after")
        )
        return QueryPairs(before, after, sessions[places].astype(np.int64), places)

    def as_rows(self) -> list[dict[str, Any]]:
        """Return the values of each query."""
        return cast("list[dict[str, Any]]", self.table.to_pylist())

    def to_pandas(self) -> "pd.DataFrame":
        """Return the table as a data frame."""
        return self.table.to_pandas()

    def to_bytes(self) -> bytes:
        """Return the table as a Parquet file."""
        return parquet_bytes(self.table)

    @classmethod
    def from_bytes(cls, content: bytes) -> "QueryFigures":
        """Read what `to_bytes` returned.

        Raises:
            HooktuneError: It is no such file.
        """
        try:
            found = cls(pq.read_table(pa.BufferReader(content)))
        except (pa.ArrowException, OSError) as error:
            raise HooktuneError(f"the figures of its queries cannot be read: {error}") from error
        columns = set(found.table.column_names)
        needed = {*_OWN_COLUMNS, *(f"{name}.{part}" for name in found.metrics for part in _PARTS)}
        if missing := sorted(needed - columns):
            raise HooktuneError(f"the figures of its queries lack the column {missing[0]!r}")
        return found

    def column(self, name: str) -> Any:
        """Return what the table has in a column, for each query."""
        return self.table.column(name).to_numpy()


_PARTS: Final = ("sessions", "before", "after")


def query_figures(
    sessions: Sessions,
    trained_on: Sessions,
    before: Mapping[str, Floats],
    after: Mapping[str, Floats],
) -> QueryFigures:
    """Gather what is known for each session by its query.

    Args:
        sessions: S test sessions.
        trained_on: The training sessions.
        before: For each metric its value in each of the S sessions under the starting model, NaN
            where a session has none.
        after: The same under the tuned model. A session counts where both have a value.
    """
    used, row_of = np.unique(sessions.query_index, return_inverse=True)

    def means(values: Floats, counted: Any) -> tuple[Ints, Floats]:
        counts = np.bincount(row_of[counted], minlength=len(used))
        totals = np.bincount(row_of[counted], values[counted], minlength=len(used))
        with np.errstate(invalid="ignore"):
            return counts, totals / counts

    texts = sessions.queries.take(pa.array(used))
    trained = trained_on.queries.take(pa.array(np.unique(trained_on.query_index)))
    everywhere = np.ones(len(sessions), dtype=np.bool_)
    counts, results = means(sessions.lengths.astype(np.float64), everywhere)
    columns: dict[str, Any] = {
        "query": [in_words(text)[:_LONGEST_QUERY] for text in texts.to_pylist()],
        "key": _keys(texts),
        "sessions": counts.astype(np.int32),
        "results": results.astype(np.float32),
        "is_in_training": pc.is_in(normal_forms(texts), value_set=normal_forms(trained)),
    }
    for name in sorted(before.keys() & after.keys()):
        counted = ~np.isnan(before[name]) & ~np.isnan(after[name])
        counts, of_start = means(before[name], counted)
        columns[f"{name}.sessions"] = counts.astype(np.int32)
        of_run = means(after[name], counted)[1]
        for part, values in (("before", of_start), ("after", of_run)):
            # What no session has is a null.
            column = pa.array(values.astype(np.float32), mask=counts == 0)
            columns[f"{name}.{part}"] = column
    return QueryFigures(pa.table(columns))


def joined(first: QueryFigures, second: QueryFigures, metric: str) -> tuple[Floats, Floats, Ints]:
    """Return a metric of those queries that two runs have in common, under each run's model.

    Returns:
        For each query its mean under the first run's model, the same under the second's, and over
        how many sessions; empty where the metric is not known by query.
    """
    one, other = first.pairs(metric), second.pairs(metric)
    keys = [
        figures.column("key")[pairs.places] for figures, pairs in ((first, one), (second, other))
    ]
    _, of_one, of_other = np.intersect1d(*keys, return_indices=True)
    return one.after[of_one], other.after[of_other], one.sessions[of_one]


def stored_query_figures(tracker: "Tracker", run: "RunRecord") -> QueryFigures | None:
    """Return the figures of a run's test queries; None for a run of a version that kept none.

    Raises:
        HooktuneError: They cannot be read.
    """
    return read_kept(tracker, run, QUERIES_FILE, QueryFigures.from_bytes)


def query_figures_of(tracker: "Tracker", run: "RunRecord") -> QueryFigures:
    """Return the figures of a run's test queries.

    Raises:
        RequestError: It has kept none.
        HooktuneError: They cannot be read.
    """
    figures = stored_query_figures(tracker, run)
    if figures is None:
        raise RequestError(
            f"Run {run.run_id} has kept no figures of its test queries: it did not finish, or an "
            "earlier version did it."
        )
    return figures


def _keys(texts: Iterable[Any]) -> list[str]:
    return [hashlib.blake2b(text.as_py().encode(), digest_size=8).hexdigest() for text in texts]
