"""The columns that the sessions and items of a log grow into while it is read."""

from array import array
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.batch import Sessions
from hooktune.sessions import Item, Session

SESSION_WITH_LOST_CLICK: Final = "session with a click on an item that the items file lacks"
SESSION_WITHOUT_RESULT: Final = "session without any result whose item is known"
RESULT_WITHOUT_ITEM: Final = "result whose item the items file lacks"
REPEATED_RESULT: Final = "result repeated within its session"


def describe_set_aside(set_aside: dict[str, int]) -> str:
    """Say in words how much of a log was set aside, and why."""
    return ", ".join(f"{count} x {reason}" for reason, count in set_aside.items())


@dataclass
class LogColumns:
    """Takes in all sessions of a log, then its items, and gives what of it can be released."""

    session_ids: list[str] = field(default_factory=list)
    queries: dict[str, int] = field(default_factory=dict)
    object_ids: dict[str, int] = field(default_factory=dict)
    """The places of all shown items by object id."""
    texts: dict[int, str] = field(default_factory=dict)
    """The texts of the shown items that are known, by place."""
    query_index: "array[int]" = field(default_factory=lambda: array("i"))
    lengths: "array[int]" = field(default_factory=lambda: array("i"))
    repeated: "array[int]" = field(default_factory=lambda: array("i"))
    item_index: "array[int]" = field(default_factory=lambda: array("i"))
    positions: "array[int]" = field(default_factory=lambda: array("i"))
    clicks: "array[int]" = field(default_factory=lambda: array("i"))
    rank: "array[float]" = field(default_factory=lambda: array("f"))

    def add_session(self, session: Session) -> None:
        """Append a session; of a result that it repeats, only the first is taken."""
        clicks = Counter(event.object_id for event in session.events)
        shown: set[str] = set()
        for position, result in enumerate(session.search_results, start=1):
            if result.object_id in shown:
                continue
            shown.add(result.object_id)
            place = self.object_ids.setdefault(result.object_id, len(self.object_ids))
            self.item_index.append(place)
            self.positions.append(position)
            self.clicks.append(clicks[result.object_id])
            self.rank.append(float("nan") if result.rank is None else result.rank)
        query = self.queries.setdefault(session.search_query, len(self.queries))
        self.session_ids.append(session.session_id)
        self.query_index.append(query)
        self.lengths.append(len(shown))
        self.repeated.append(len(session.search_results) - len(shown))

    def add_item(self, item: Item) -> None:
        """Keep the text of an item, if a session shows it."""
        place = self.object_ids.get(item.object_id)
        if place is not None:
            self.texts[place] = item.text

    def usable_sessions(self) -> tuple[Sessions, dict[str, int]]:
        """Return the sessions that can be released, and how much was set aside by reason.

        A result whose item is unknown is dropped. A session that would lose a click with it is set
        aside whole, for it would pass for one with less, or nothing, found relevant.
        """
        texts = [self.texts.get(place) for place in range(len(self.object_ids))]
        sessions = Sessions(
            queries=pa.array(list(self.queries), pa.string()),
            items=pa.array(texts, pa.string()),
            session_ids=pa.array(self.session_ids, pa.string()),
            query_index=np.asarray(self.query_index),
            offsets=np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)]),
            item_index=np.asarray(self.item_index),
            clicks=np.asarray(self.clicks),
            rank=np.asarray(self.rank),
            shown_at=np.asarray(self.positions),
        )
        known = sessions.items.is_valid().to_numpy(zero_copy_only=False)[sessions.item_index]
        lost_click = sessions.sum_per_session(sessions.clicked & ~known) > 0
        empty = (sessions.sum_per_session(known) == 0) & ~lost_click
        kept = ~lost_click & ~empty
        set_aside = {
            SESSION_WITH_LOST_CLICK: int(lost_click.sum()),
            SESSION_WITHOUT_RESULT: int(empty.sum()),
            RESULT_WITHOUT_ITEM: int((~known & kept[sessions.session_index]).sum()),
            REPEATED_RESULT: int(np.asarray(self.repeated)[kept].sum()),
        }
        usable = sessions.keep_results(known).take(kept)
        return usable, {reason: count for reason, count in set_aside.items() if count}

    def in_canonical_order(self, sessions: Sessions) -> tuple[Sessions, pa.StringArray]:
        """Return usable sessions in an order that the log's own order has no part in.

        Sessions are sorted by id, queries stand in the order of their first use, and items, of
        which only the used ones are kept, are sorted by the object ids that are returned beside.
        """
        sessions = sessions.take(pc.sort_indices(sessions.session_ids).to_numpy())
        queries = sessions.queries.take(pa.array(sessions.query_index)).dictionary_encode()
        object_ids = pa.array(list(self.object_ids), pa.string())
        used = np.unique(sessions.item_index)
        used = used[pc.sort_indices(object_ids.take(pa.array(used))).to_numpy()]
        new_place = np.zeros(len(object_ids), dtype=np.int32)
        new_place[used] = np.arange(len(used))
        ordered = replace(
            sessions,
            queries=queries.dictionary,
            query_index=queries.indices.to_numpy(),
            items=sessions.items.take(pa.array(used)),
            item_index=new_place[sessions.item_index],
        )
        return ordered, object_ids.take(pa.array(used))
