"""The reader of Algolia: search responses and the events of Insights, as JSON lines.

Both have a `queryID`. Of a response the `query` and the `hits` are read, which were shown from
position 1 on, or from that of its `page`; of an event `objectIDs`, and `eventType` as its kind.

The fields: https://www.algolia.com/doc/rest-api/insights/
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from hooktune import LogPart, LogSource, hookimpl
from hooktune_logs import event_stream
from hooktune_logs.event_stream import StreamEvent
from hooktune_logs.fields import item_in, list_in, position_of, text_in, time_in
from hooktune_logs.refinement import refinement


@hookimpl
def recognise_log(source: LogSource) -> str | None:
    """Recognise responses and events by their fields."""
    for stated in event_stream.head_objects(source):
        if "queryID" in stated and stated.keys() & {"hits", "objectIDs"}:
            return "its first lines have a 'queryID'"
    return None


@hookimpl
def read_log(source: LogSource) -> Iterator[LogPart]:
    """Read responses and events, in any order."""
    return event_stream.read_stream(source, _event)


def _event(stated: dict[str, Any]) -> StreamEvent | None:
    search_id, user = text_in(stated, "queryID"), text_in(stated, "userToken")
    time = time_in(stated, "timestamp")
    kind = text_in(stated, "eventType")
    if kind is not None:
        named = [{"objectID": name} for name in list_in(stated, "objectIDs")]
        items = tuple(item_in(each, ("objectID",), "position") for each in named)
        return StreamEvent(kind, user, time, search_id, None, items)
    if search_id is None:
        return None
    page = position_of(stated.get("page"), "page") or 0
    start = page * (position_of(stated.get("hitsPerPage"), "hitsPerPage") or 0) + 1
    hits = list_in(stated, "hits")
    items = tuple(
        (item_in(hit, ("objectID",), "position")[0], place) for place, hit in enumerate(hits, start)
    )
    query, filters = text_in(stated, "query"), _filters(stated)
    return StreamEvent(event_stream.SEARCH, user, time, search_id, query, items, None, filters)


def _filters(stated: dict[str, Any]) -> str | None:
    """Return the filters among the parameters that a response repeats as a query string."""
    params = stated.get("params")
    asked = parse_qs(params) if isinstance(params, str) else {}
    found = (asked[name][0] for name in ("filters", "facetFilters", "numericFilters")
             if name in asked)  # fmt: skip
    return next(filter(None, map(refinement, found)), None)
