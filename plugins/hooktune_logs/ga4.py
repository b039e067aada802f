"""The reader of Google Analytics 4's export to BigQuery, as JSON lines.

A search is a `view_search_results`, what it showed the `view_item_list` events of the same visit
after it, and a `select_item` is a click. Positions are `index` of an item, which begins at 0.

The fields: https://support.google.com/analytics/answer/7029846
"""

from collections.abc import Iterator
from typing import Any, Final

from hooktune import LogPart, LogSource, hookimpl
from hooktune_logs import event_stream
from hooktune_logs.event_stream import StreamEvent
from hooktune_logs.fields import item_in, list_in, object_in, text_in, time_in

_KINDS: Final = {
    "view_search_results": event_stream.SEARCH,
    "search": event_stream.SEARCH,
    "view_item_list": event_stream.SHOWN,
    "select_item": "click",
    "add_to_cart": "add_to_cart",
    "purchase": "purchase",
}


@hookimpl
def recognise_log(source: LogSource) -> str | None:
    """Recognise the export by its fields."""
    for stated in event_stream.head_objects(source):
        if {"event_name", "event_params"} <= stated.keys():
            return "its first lines have 'event_name' and 'event_params'"
    return None


@hookimpl
def read_log(source: LogSource) -> Iterator[LogPart]:
    """Read the events in the order of the log, which is by visit and time."""
    return event_stream.read_stream(source, _event, lambda stated: stated | _params(stated))


def _event(stated: dict[str, Any]) -> StreamEvent | None:
    name = text_in(stated, "event_name")
    if name is None:
        raise ValueError("the field 'event_name' is missing. Each event has one.")
    kind = _KINDS.get(name)
    if kind is None:
        return None
    params = _params(stated)
    user = text_in(stated, "user_pseudo_id", "user_id")
    items = (item_in(item, ("item_id", "item_name"), "index") for item in list_in(stated, "items"))
    return StreamEvent(
        kind,
        f"{user} {params.get('ga_session_id', '')}",
        time_in(stated, "event_timestamp"),
        params.get("search_id"),
        params.get("search_term"),
        tuple(items),
    )


def _params(stated: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of an event by their names."""
    params: dict[str, str] = {}
    for param in list_in(stated, "event_params"):
        if not isinstance(param, dict):
            raise ValueError("the field 'event_params' should be a list of objects.")
        value = text_in(object_in(param, "value"), "string_value", "int_value")
        key = text_in(param, "key")
        if key is not None and value is not None:
            params[key] = value
    return params
