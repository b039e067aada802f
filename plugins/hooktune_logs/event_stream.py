"""What analytics exports have in common: searches, lists that were shown, and events on items.

An event belongs to the search that it names, or else to the last one of its user before it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from hooktune import DataError, LogPart, LogSource, line_error, read_objects
from hooktune_logs.columns import Columns, append_row, part_of

SEARCH: Final = "search"
SHOWN: Final = "shown"

_AT_ONCE: Final = 50_000


@dataclass(frozen=True)
class StreamEvent:
    """One event of a stream."""

    kind: str
    """`SEARCH`, `SHOWN`, or any other kind, such as `click`."""
    user: str | None
    """Who did it: what tells one user, or one visit, from others."""
    time: int | None
    """In microseconds since 1970."""
    search_id: str | None = None
    query: str | None = None
    items: tuple[tuple[str, int | None], ...] = ()
    """The items, with their positions where they are known."""
    sorting: str | None = None
    filters: str | None = None


def read_stream(
    source: LogSource,
    parse: Callable[[dict[str, Any]], StreamEvent | None],
    fields: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> Iterator[LogPart]:
    """Read events in the order of a log, a JSON object a line, into the long form.

    Args:
        source: The log; the events of a user stand in it in the order of their times.
        parse: Makes an event of an object, None of one that is passed over; raises a `ValueError`
            that names the field where it cannot be used.
        fields: Makes of an object the fields that may be labels, by default all that it has.
    """
    counts: Counter[str] = Counter()
    last_search: dict[str | None, str] = {}
    for file in source.files:
        shown: Columns = defaultdict(list)
        happened: Columns = defaultdict(list)
        for number, stated in read_objects(file, source.findings):
            try:
                event = parse(stated)
                labels = source.labels_of(fields(stated)) if event and source.labels else None
            except ValueError as error:
                source.findings.set_aside(line_error(file, number, str(error)))
                continue
            if event is None:
                counts["objects that say nothing of a search, passed over"] += 1
                continue
            _add(event, number, labels, last_search, shown, happened)
            if len(shown["line"]) + len(happened["line"]) >= _AT_ONCE:
                yield part_of(file, shown, happened)
                shown.clear()
                happened.clear()
        yield part_of(file, shown, happened)
    for what, count in counts.items():
        source.findings.count(what, count)


def _add(
    event: StreamEvent,
    line: int,
    labels: str | None,
    last_search: dict[str | None, str],
    shown: Columns,
    happened: Columns,
) -> None:
    search_id = event.search_id or last_search.get(event.user)
    if event.kind == SEARCH:
        search_id = event.search_id or f"{event.user} {event.time} {line}"
        last_search[event.user] = search_id
    common = {"search_id": search_id, "time": event.time, "line": line}
    seen = common | {
        "user": event.user, "sorting": event.sorting, "filters": event.filters, "labels": labels
    }  # fmt: skip
    if search_id is not None and (event.kind == SEARCH or event.query):
        append_row(shown, seen | {"query": event.query, "item": None,
                                 "position": None})  # fmt: skip
    for item, position in event.items or ((None, None),):
        if event.kind in (SEARCH, SHOWN) and search_id is not None:
            if item is not None:
                append_row(shown, seen | {"query": None, "item": item,
                                         "position": position})  # fmt: skip
        else:
            append_row(happened, common | {"item": item, "kind": event.kind})


def head_objects(source: LogSource) -> list[dict[str, Any]]:
    """Return the first objects of a log, to recognise it by; none where it holds no such lines."""
    try:
        lines = source.head().rpartition(b"\n")[0].splitlines()[:20]
        return [stated for _, stated in read_objects(source.files[0], source.findings, lines)]
    except DataError:
        return []
