"""The reader of the e-commerce events that Segment, RudderStack and PostHog share, as JSON lines.

A search is `Products Searched`, what it showed `Product List Viewed`, and `Product Clicked` is a
click. An event belongs to the search whose `search_id` or `query_id` it has, else to the last one
of its user.

The events: https://segment.com/docs/connections/spec/ecommerce/v2/
"""

from collections.abc import Iterator
from typing import Any, Final

from hooktune import LogPart, LogSource, hookimpl
from hooktune_logs import event_stream
from hooktune_logs.event_stream import StreamEvent
from hooktune_logs.fields import item_in, list_in, object_in, refinement_in, text_in, time_in

_KINDS: Final = {
    "products searched": event_stream.SEARCH,
    "product list viewed": event_stream.SHOWN,
    "product list filtered": event_stream.SHOWN,
    "product clicked": "click",
    "product added": "add_to_cart",
    "order completed": "purchase",
}
_NAMES: Final = ("product_id", "sku")


@hookimpl
def recognise_log(source: LogSource) -> str | None:
    """Recognise the events by their names."""
    for stated in event_stream.head_objects(source):
        name = stated.get("event")
        if isinstance(name, str) and name.casefold() in _KINDS and "properties" in stated:
            return f"its first lines have the event {name!r}"
    return None


@hookimpl
def read_log(source: LogSource) -> Iterator[LogPart]:
    """Read the events in the order of the log, which is by time for each user."""
    return event_stream.read_stream(source, _event)


def _event(stated: dict[str, Any]) -> StreamEvent | None:
    name = text_in(stated, "event")
    kind = _KINDS.get((name or "").casefold())
    if kind is None:
        return None
    properties = object_in(stated, "properties")
    listed = list_in(properties, "products")
    if kind not in (event_stream.SEARCH, event_stream.SHOWN) and not listed:
        listed = [properties]
    user = text_in(stated, "anonymousId", "anonymous_id", "distinct_id", "userId", "user_id")
    return StreamEvent(
        kind,
        user or text_in(properties, "distinct_id"),
        time_in(stated, "timestamp", "originalTimestamp", "sent_at"),
        text_in(properties, "search_id", "query_id"),
        text_in(properties, "query"),
        tuple(item_in(item, _NAMES, "position") for item in listed),
        refinement_in(properties, "sorts"),
        refinement_in(properties, "filters"),
    )
