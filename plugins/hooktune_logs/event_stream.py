"""What analytics exports have in common: searches, lists that were shown, and events on items.

An event belongs to the search that it names, or else to the last one of its user before it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from hooktune import DataError, LogPart, LogSource, line_error, read_objects, shortened
from hooktune_logs.times import parse_time

SEARCH: Final = "search"
SHOWN: Final = "shown"

_AT_ONCE: Final = 50_000
_LONGEST: Final = 512


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


def read_stream(
    source: LogSource, parse: Callable[[dict[str, Any]], StreamEvent | None]
) -> Iterator[LogPart]:
    """Read events in the order of a log, a JSON object a line, into the long form.

    Args:
        source: The log; the events of a user stand in it in the order of their times.
        parse: Makes an event of an object, None of one that is passed over; raises a `ValueError`
            that names the field where it cannot be used.
    """
    counts: Counter[str] = Counter()
    last_search: dict[str | None, str] = {}
    for file in source.files:
        shown: dict[str, list[Any]] = defaultdict(list)
        happened: dict[str, list[Any]] = defaultdict(list)
        for number, stated in read_objects(file, source.findings):
            try:
                event = parse(stated)
            except ValueError as error:
                source.findings.set_aside(line_error(file, number, str(error)))
                continue
            if event is None:
                counts["objects that say nothing of a search, passed over"] += 1
                continue
            _add(event, number, last_search, shown, happened)
            if len(shown["line"]) + len(happened["line"]) >= _AT_ONCE:
                yield _part(file, shown, happened)
                shown.clear()
                happened.clear()
        yield _part(file, shown, happened)
    for what, count in counts.items():
        source.findings.count(what, count)


def _add(
    event: StreamEvent,
    line: int,
    last_search: dict[str | None, str],
    shown: dict[str, list[Any]],
    happened: dict[str, list[Any]],
) -> None:
    search_id = event.search_id or last_search.get(event.user)
    if event.kind == SEARCH:
        search_id = event.search_id or f"{event.user} {event.time} {line}"
        last_search[event.user] = search_id
    common = {"search_id": search_id, "time": event.time, "line": line}
    if search_id is not None and (event.kind == SEARCH or event.query):
        _append(shown, common | {"user": event.user, "query": event.query, "item": None,
                                 "position": None})  # fmt: skip
    for item, position in event.items or ((None, None),):
        if event.kind in (SEARCH, SHOWN) and search_id is not None:
            if item is not None:
                _append(shown, common | {"user": event.user, "query": None, "item": item,
                                         "position": position})  # fmt: skip
        else:
            _append(happened, common | {"item": item, "kind": event.kind})


def _append(columns: dict[str, list[Any]], row: dict[str, Any]) -> None:
    for name, value in row.items():
        columns[name].append(value)


def _part(file: str, shown: dict[str, list[Any]], happened: dict[str, list[Any]]) -> LogPart:
    tables = []
    for columns in (shown, happened):
        filled = {name: values for name, values in columns.items() if values}
        if "time" in filled:
            filled["time"] = pa.array(filled["time"], pa.timestamp("us", "UTC"))
        tables.append(filled)
    return LogPart.of(file, *tables)


def head_objects(source: LogSource) -> list[dict[str, Any]]:
    """Return the first objects of a log, to recognise it by; none where it holds no such lines."""
    try:
        lines = source.head().rpartition(b"\n")[0].splitlines()[:20]
        return [stated for _, stated in read_objects(source.files[0], source.findings, lines)]
    except DataError:
        return []


def text_in(stated: dict[str, Any], *fields: str) -> str | None:
    """Return the first of some fields that holds a text or a whole number; None where none does.

    Raises:
        ValueError: One of them holds something else, or too much.
    """
    for field in fields:
        value = stated.get(field)
        if value is None or value == "":
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, str | int)
            or len(str(value)) > _LONGEST
        ):
            raise ValueError(
                f"the field {field!r} should be a text of {_LONGEST} characters at most, and is "
                f"{shortened(value)}."
            )
        return str(value)
    return None


def object_in(stated: dict[str, Any], field: str) -> dict[str, Any]:
    """Return a field that holds an object; an empty one where it is missing.

    Raises:
        ValueError: It holds something else.
    """
    value = stated.get(field)
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"the field {field!r} should be an object, and is {shortened(value)}.")
    return value or {}


def list_in(stated: dict[str, Any], field: str) -> list[Any]:
    """Return a field that holds a list; an empty one where it is missing.

    Raises:
        ValueError: It holds something else.
    """
    value = stated.get(field)
    if value is not None and not isinstance(value, list):
        raise ValueError(f"the field {field!r} should be a list, and is {shortened(value)}.")
    return value or []


def item_in(stated: Any, names: tuple[str, ...], position: str) -> tuple[str, int | None]:
    """Return an item of a list, and its position.

    Args:
        stated: The object that describes it.
        names: The fields that may hold its name.
        position: The field that may hold its position.

    Raises:
        ValueError: It has no name, or its position is none.
    """
    name = text_in(stated, *names) if isinstance(stated, dict) else None
    if name is None:
        raise ValueError(f"an item has no {names[0]!r}, and is {shortened(stated)}.")
    return name, position_of(stated.get(position), position)


def position_of(stated: Any, field: str) -> int | None:
    """Return a position, which may be stated as a text.

    Raises:
        ValueError: It is none.
    """
    if stated is None or stated == "":
        return None
    if isinstance(stated, str) and stated.isdecimal():
        stated = int(stated)
    if isinstance(stated, bool) or not isinstance(stated, int) or not 0 <= stated <= 100_000:
        raise ValueError(
            f"the field {field!r} should be a whole number from 0 to 100000, and is "
            f"{shortened(stated)}."
        )
    return stated


def time_in(stated: dict[str, Any], *fields: str) -> int | None:
    """Return the time in the first of some fields that holds one, in microseconds since 1970.

    Raises:
        ValueError: It holds something else.
    """
    for field in fields:
        try:
            time, _ = parse_time(stated.get(field))
        except (ValueError, TypeError, OverflowError):
            raise ValueError(
                f"the field {field!r} should be a time, and is {shortened(stated[field])}."
            ) from None
        if time is not None:
            return time
    return None
