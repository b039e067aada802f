"""Sessions written down in a test, so that a reader sees what was shown and what was clicked."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from hooktune.contract.sessions import Sessions


def sessions_of(
    described: Sequence[tuple[str, Sequence[str], Sequence[str]]],
) -> Sessions:
    """Make sessions from a plain description of each.

        sessions_of([
            ("red shoes", ["leather shoes", "shoe rack", "paint"], ["leather shoes"]),
            ("paint", ["paint", "shoe rack"], []),
        ])

    Args:
        described: For each session its query, the texts of the results in the order in which they
            were shown, and the texts of the clicked ones; a text that stands there twice was
            clicked twice.

    Returns:
        S sessions, called `session 1` to `session S`, without recorded rank scores. The distinct
        queries and items stand in the order in which they first occur.

    Raises:
        ValueError: A clicked text is not among those that its session shows.
    """
    for query, shown, clicked in described:
        if missing := [item for item in clicked if item not in shown]:
            raise ValueError(
                f"The session on {query!r} shows no {missing[0]!r}, which was clicked."
            )
    queries = {query: None for query, _, _ in described}
    items = {item: None for _, shown, _ in described for item in shown}
    query_places = {query: place for place, query in enumerate(queries)}
    item_places = {item: place for place, item in enumerate(items)}
    results = [(item, clicked) for _, shown, clicked in described for item in shown]
    return Sessions(
        queries=pa.array(list(queries), type=pa.large_string()),
        items=pa.array(list(items), type=pa.large_string()),
        session_ids=pa.array(
            [f"session {number}" for number in range(1, len(described) + 1)],
            type=pa.large_string(),
        ),
        query_index=np.array([query_places[query] for query, _, _ in described], dtype=np.int64),
        offsets=np.cumsum([0, *(len(shown) for _, shown, _ in described)]),
        item_index=np.array([item_places[item] for item, _ in results], dtype=np.int64),
        clicks=np.array([list(clicked).count(item) for item, clicked in results], dtype=np.int64),
        rank=np.full(len(results), np.nan, dtype=np.float32),
    )
