"""Figures of test queries that nobody has measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hooktune import QueryFigures

Numbers = Sequence[float] | np.ndarray


def made_figures(
    values: Mapping[str, tuple[Numbers, Numbers]],
    queries: Sequence[int] | range | None = None,
    **columns: Any,
) -> QueryFigures:
    """Make the figures of Q queries with a session each.

    Args:
        values: For each metric its Q values before tuning and after it.
        queries: The Q numbers by which queries are known; by default from 0 on.
        columns: Other values of the columns that tables of figures have.
    """
    count = len(next(iter(values.values()))[0])
    queries = range(count) if queries is None else queries
    ones = np.ones(count, np.int32)
    own = {
        "query": [f"query {place}" for place in queries],
        "key": [f"{place:016x}" for place in queries],
        "sessions": ones,
        "results": np.ones(count, np.float32),
        "is_in_training": np.zeros(count, np.bool_),
    }
    measured = {
        f"{name}.{part}": column
        for name, (before, after) in values.items()
        for part, column in (("sessions", ones), ("before", before), ("after", after))
    }
    return QueryFigures(pa.table({**own, **columns, **measured}))
