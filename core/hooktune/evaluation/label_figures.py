"""What there is for each test query in each part of a label, such as in each market.

A query may be searched in several markets, so that its figures do not tell of one of them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.sessions import Floats, Sessions
from hooktune.data.labels import value_counts
from hooktune.evaluation.kept_files import read_kept
from hooktune.evaluation.query_figures import QueryFigures, query_figures

if TYPE_CHECKING:
    from hooktune.tracking import RunRecord, Tracker

LABELS_FILE: Final = "evaluation/queries_by_label.parquet"
"""Where a run keeps them, among its artifacts, if its batch has labels."""

_MOST_PARTS: Final = 10
_LONGEST: Final = 100
_NOT_STATED: Final = "not stated"
_OTHERS: Final = "another"


def label_figures(
    sessions: Sessions,
    trained_on: Sessions,
    before: Mapping[str, Floats],
    after: Mapping[str, Floats],
) -> QueryFigures | None:
    """Gather what is known for each session by its query and each of its labels.

    Args:
        sessions: S test sessions.
        trained_on: The training sessions.
        before: As `query_figures` takes it.
        after: As `query_figures` takes it.

    Returns:
        A table as that of `query_figures`, with a row for each query in each part of each label,
        and the columns `label`, its name, and `part`: the value, `another` for all but the ten
        most frequent values, or `not stated`. None where sessions have no labels.
    """
    if sessions.labels is None:
        return None
    tables = []
    for name in sessions.labels.schema.names:
        part_names, part_of = _parts(sessions.labels[name])
        pairs = part_of * len(sessions.queries) + sessions.query_index
        used, place = np.unique(pairs, return_inverse=True)
        part, query = np.divmod(used, len(sessions.queries))
        apart = replace(sessions, queries=sessions.queries.take(pa.array(query)), query_index=place)
        table = query_figures(apart, trained_on, before, after).table
        of_parts = pa.array(part_names, pa.string()).take(pa.array(part))
        table = table.add_column(0, "part", of_parts)
        tables.append(table.add_column(0, "label", pa.repeat(pa.scalar(name), len(table))))
    return QueryFigures(pa.concat_tables(tables))


def stored_label_figures(tracker: "Tracker", run: "RunRecord") -> QueryFigures | None:
    """Return what a run has kept of its test queries in each part of each label; None if nothing.

    Raises:
        HooktuneError: It cannot be read.
    """
    return read_kept(tracker, run, LABELS_FILE, QueryFigures.from_bytes)


def label_parts(figures: QueryFigures) -> dict[str, dict[str, QueryFigures]]:
    """Return for each label the figures of its parts, by what follows the word "queries"."""
    names = figures.table.select(["label", "part"]).group_by(["label", "part"], use_threads=False)
    parts: dict[str, dict[str, QueryFigures]] = {}
    for row in names.aggregate([]).to_pylist():
        is_of = pc.and_(
            pc.equal(figures.table["label"], row["label"]),
            pc.equal(figures.table["part"], row["part"]),
        )
        name = f"where {row['label'][:_LONGEST]} is {row['part']}"
        parts.setdefault(row["label"], {})[name] = QueryFigures(figures.table.filter(is_of))
    return parts


def _parts(values: pa.DictionaryArray) -> tuple[list[str], np.ndarray]:
    """Divide sessions by a label.

    Returns:
        The names of the parts, the most frequent values first, and for each session the number of
        its part.
    """
    most = [*value_counts(values)][:_MOST_PARTS]
    texts = values.cast(pa.string())
    of_value = pc.index_in(texts, value_set=pa.array(most, pa.string())).fill_null(len(most))
    part_of = pc.if_else(texts.is_null(), len(most) + 1, of_value)
    return [*(text[:_LONGEST] for text in most), _OTHERS, _NOT_STATED], part_of.to_numpy()
