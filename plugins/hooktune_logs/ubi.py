"""The reader of User Behavior Insights 1.0 to 1.3: query documents, and events.

They are read from OpenSearch's bulk lines, from JSON lines, and from dumps of an index, where each
document is a line's `_source`. Documents are told apart by their fields, as indices may have any
name.

The schemas: https://github.com/o19s/ubi
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final

from hooktune import (
    MAX_NAME_LENGTH,
    DataError,
    LogPart,
    LogSource,
    hookimpl,
    line_error,
    parse_time,
    read_objects,
    shortened,
)
from hooktune_logs.columns import Columns, append_row, part_of
from hooktune_logs.fields import list_in, object_in, refinement_in, whole_position

IMPRESSION: Final = "impression"
"""The action by which a result is shown."""

_ACTIONS: Final = frozenset({"index", "create", "update", "delete"})
_AT_ONCE: Final = 50_000


@hookimpl
def recognise_log(source: LogSource) -> str | None:
    """Recognise UBI by the fields of the first documents."""
    try:
        head = source.head().rpartition(b"\n")[0]
        for _, document in _documents(source.files[0], head.splitlines()[:20], source):
            if "query_id" in document:
                for field in ("action_name", "user_query"):
                    if field in document:
                        return f"its first documents have a 'query_id' and '{field}'"
    except DataError:
        pass
    return None


@hookimpl
def read_log(source: LogSource) -> Iterator[LogPart]:
    """Read queries and events; what was shown are impressions, or else the hits of a query."""
    counts: Counter[str] = Counter()
    for file in source.files:
        rows = _Rows(source, counts)
        for number, document in _documents(file, None, source):
            try:
                rows.add(document, number)
            except ValueError as error:
                source.findings.set_aside(line_error(file, number, str(error)))
            if rows.count >= _AT_ONCE:
                yield rows.part(file)
                rows = _Rows(source, counts)
        yield rows.part(file)
    for what, number in counts.items():
        source.findings.count(what, number)


def _documents(
    file: str, lines: list[bytes] | None, source: LogSource
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the documents of a file, or of some lines of it, with the numbers of their lines."""
    action = None
    for number, stated in read_objects(file, source.findings, lines):
        if action is None and len(stated) == 1 and _ACTIONS & stated.keys():
            action = number
            if "delete" in stated:
                action = None
            continue
        action = None
        document = stated.get("_source", stated.get("doc", stated))
        if not isinstance(document, dict):
            problem = f"the field '_source' should be an object, and is {shortened(document)}."
            source.findings.set_aside(line_error(file, number, problem))
            continue
        yield number, document
    if action is not None and lines is None:
        problem = "the document of this action is missing. The file has perhaps been cut off."
        source.findings.set_aside(line_error(file, action, problem))


class _Rows:
    """Takes documents, and gives them in the long form.

    Args:
        source: Says which labels are wanted.
        counts: Takes how many documents there are of each kind.
    """

    def __init__(self, source: LogSource, counts: Counter[str]) -> None:
        self.count = 0
        self._labels_of = source.labels_of
        self._counts = counts
        self._shown: Columns = defaultdict(list)
        self._happened: Columns = defaultdict(list)

    def add(self, document: dict[str, Any], line: int) -> None:
        """Take a document.

        Raises:
            ValueError: One of its fields cannot be used; the message names it.
        """
        is_event = "action_name" in document
        if not is_event and "query_id" not in document and "user_query" not in document:
            raise ValueError(
                "neither a query nor an event of UBI: it has no 'query_id', 'user_query' or "
                "'action_name'. Take the line out, or name another --format."
            )
        search_id = _name(document, "query_id")
        time = self._time(document)
        if is_event:
            self._add_event(document, search_id, time, line)
            self._counts["event documents"] += 1
        else:
            self._add_query(document, search_id, time, line)
            self._counts["query documents"] += 1
        self.count += 1

    def _add_query(
        self, document: dict[str, Any], search_id: str | None, time: int | None, line: int
    ) -> None:
        query = document.get("user_query")
        if query is not None and not isinstance(query, str):
            raise ValueError(f"the field 'user_query' should be a text, and is {shortened(query)}.")
        asked = document.get("query_attributes")
        asked = asked if isinstance(asked, dict) else {}
        hits = list_in(document, "query_response_hit_ids")
        items = [_name({"query_response_hit_ids": hit}, "query_response_hit_ids") for hit in hits]
        query = query if query and query.strip() else None
        if search_id is None or query is None:
            self._counts["query documents without an id or a query"] += 1
        if search_id is None:
            return
        common = {
            "search_id": search_id, "time": time, "user": _user(document),
            "application": _name(document, "application"), "line": line,
            "sorting": refinement_in(asked, "sort", "sort_by"),
            "filters": refinement_in(asked, "filters", "filter", "facets"),
            "labels": self._labels_of(document),
        }  # fmt: skip
        append_row(self._shown, common | {"query": query, "item": None, "position": None,
            "is_returned": False})  # fmt: skip
        for position, item in enumerate(items, start=1):
            if item is not None:
                append_row(self._shown, common | {"query": None, "item": item,
                    "position": position, "is_returned": True})  # fmt: skip

    def _add_event(
        self, document: dict[str, Any], search_id: str | None, time: int | None, line: int
    ) -> None:
        kind = _name(document, "action_name")
        if kind is None:
            raise ValueError("the field 'action_name' is empty. It says what happened.")
        attributes = object_in(document, "event_attributes")
        item = _name(object_in(attributes, "object"), "object_id")
        if kind == IMPRESSION and item is not None and search_id is not None:
            append_row(
                self._shown,
                {
                    "search_id": search_id, "query": None, "item": item,
                    "position": _ordinal(attributes), "time": time, "user": _user(document),
                    "application": _name(document, "application"), "is_returned": False,
                    "line": line, "sorting": None, "filters": None,
                    "labels": self._labels_of(document),
                },
            )  # fmt: skip
            return
        append_row(
            self._happened,
            {
                "search_id": search_id, "item": item, "kind": kind, "time": time,
                "value": _seconds(attributes.get("dwell_time")), "line": line,
            },
        )  # fmt: skip

    def _time(self, document: dict[str, Any]) -> int | None:
        stated = document.get("timestamp")
        try:
            time, form = parse_time(stated)
        except (ValueError, TypeError, OverflowError):
            raise ValueError(
                f"the field 'timestamp' should be a time as in 2024-12-10T00:01:29Z or in "
                f"milliseconds since 1970, and is {shortened(stated)}."
            ) from None
        if form:
            self._counts[form] += 1
        return time

    def part(self, file: str) -> LogPart:
        """Return what was taken, in the long form."""
        return part_of(file, self._shown, self._happened)


def _name(document: dict[str, Any], field: str) -> str | None:
    """Return a field that names something: a text, or a whole number; None where it is empty."""
    stated = document.get(field)
    if stated is None or stated == "":
        return None
    if isinstance(stated, bool) or not isinstance(stated, str | int):
        raise ValueError(f"the field {field!r} should be a text, and is {shortened(stated)}.")
    name = str(stated)
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(
            f"the field {field!r} has {len(name)} characters, and {MAX_NAME_LENGTH} are allowed."
        )
    return name


def _user(document: dict[str, Any]) -> str | None:
    return _name(document, "user_id") or _name(document, "client_id")


def _seconds(stated: Any) -> float | None:
    """Return for how long somebody stayed; None where that is no number."""
    try:
        return float(stated) if isinstance(stated, int | float) else None
    except OverflowError:
        return None


def _ordinal(attributes: dict[str, Any]) -> int | None:
    """Return the position of a result: `position.ordinal`, or `position` itself as a number."""
    stated = attributes.get("position")
    if isinstance(stated, dict):
        stated = stated.get("ordinal")
    return None if stated is None else whole_position(stated, "position.ordinal")
