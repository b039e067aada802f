"""The order in which a batch holds its sessions, queries and items, whatever order a log had."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.sessions import Ints, Mask, Sessions
from hooktune.errors import DataError


def in_canonical_order(
    sessions: Sessions,
    names: pa.LargeStringArray,
    kept: Mask,
    further_items: Ints | tuple[int, ...] = (),
) -> tuple[Sessions, Ints]:
    """Sort sessions by their ids, queries by their first use, and items by their names.

    Args:
        sessions: Sessions, whose `items` play no part.
        names: For each item, its distinct name.
        kept: For each session, whether it stays; a query or item that none of these has goes.
        further_items: The places of items that stay though no session shows them.

    Returns:
        The sessions, with items counted among those that are left, and the places of these in
        `names`; what they hold as `items` is for the caller to set.

    Raises:
        DataError: Two sessions have one id.
    """
    order = pc.sort_indices(sessions.session_ids).to_numpy()
    _refuse_repeated(sessions.session_ids.take(pa.array(order)))
    sessions = sessions.take(order[kept[order]])
    queries = sessions.queries.take(pa.array(sessions.query_index)).dictionary_encode()
    is_used = np.zeros(len(names), dtype=bool)
    is_used[sessions.item_index] = True
    is_used[np.asarray(further_items, dtype=np.int64)] = True
    used: Ints = np.flatnonzero(is_used)
    used = used[pc.sort_indices(names.take(pa.array(used))).to_numpy()]
    new_place = np.zeros(len(names), dtype=np.int32)
    new_place[used] = np.arange(len(used))
    ordered = replace(
        sessions,
        queries=queries.dictionary,
        query_index=queries.indices.to_numpy(),
        item_index=new_place[sessions.item_index],
    )
    return ordered, used


def _refuse_repeated(session_ids: pa.LargeStringArray) -> None:
    """Refuse session ids, which are sorted, if one of them comes twice."""
    repeated = pc.index(pc.equal(session_ids[1:], session_ids[:-1]), True).as_py()
    if repeated >= 0:
        raise DataError(
            f"The session id {session_ids[repeated].as_py()!r} comes twice in the log, in two of "
            "its files perhaps. Name each file once, and give each session an id of its own."
        )
