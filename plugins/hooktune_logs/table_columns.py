"""Which column of a table holds what: as a user stated it, or by its usual names."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hooktune import DataError

USUAL_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "search_id": (
        "search_id",
        "query_id",
        "session_id",
        "searchid",
        "queryid",
        "qid",
        "request_id",
    ),
    "query": ("query", "search_query", "search_term", "user_query", "query_text", "keywords", "q"),
    "item": (
        "item",
        "item_id",
        "object_id",
        "objectid",
        "product_id",
        "doc_id",
        "document_id",
        "sku",
    ),
    "position": ("position", "pos", "ordinal", "result_position", "item_position"),
    "rank": ("rank_score", "score"),
    "time": ("time", "timestamp", "created_at", "event_time", "ts"),
    "user": ("user", "user_id", "client_id", "visitor_id", "anonymous_id"),
    "application": ("application", "app"),
    "sorting": ("sorting", "sort", "sort_by", "sorted_by", "order_by"),
    "filters": ("filters", "filter", "facets"),
    "clicks": ("clicks", "clicked", "is_clicked", "click"),
    "kind": ("kind", "event_type", "event", "event_name", "action", "action_name"),
    "value": ("value", "price", "revenue", "dwell_time"),
    "items": ("items", "item_ids", "results", "shown_items", "search_results"),
    "clicked_items": ("clicked_items", "clicked_item_ids", "clicked_ids"),
}
"""What a table may hold, with the names that columns usually have for it."""


def choose_columns(names: Sequence[str], stated: Mapping[str, str], source: str) -> dict[str, str]:
    """Return for each thing that a table holds the name of its column.

    Args:
        names: The table's columns.
        stated: The columns that a user named; one of them may be in another table.
        source: The table, for messages.

    Raises:
        DataError: A thing is stated that no table holds.
    """
    unknown = [field for field in stated if field not in USUAL_NAMES]
    if unknown:
        raise DataError(
            f"No table holds a {unknown[0]!r}. A column may hold {', '.join(USUAL_NAMES)}, or what "
            "--label names."
        )
    folded = {name.casefold().replace(" ", "_").replace("-", "_"): name for name in names}
    chosen = {field: name for field, name in stated.items() if name in names}
    for field, usual in USUAL_NAMES.items():
        found = next((folded[name] for name in usual if name in folded), None)
        if field not in stated and found is not None and found not in chosen.values():
            chosen[field] = found
    if not chosen:
        raise DataError(
            f"{source}: no column is known by its name. It has {', '.join(map(repr, names))}. Say "
            "which holds what, by --column query=NAME, --column item=NAME and so on."
        )
    return chosen


def missing_column(source: str, field: str, names: Sequence[str]) -> DataError:
    """Return the error that a table lacks a column."""
    return DataError(
        f"{source}: no column holds the {field}. It has {', '.join(map(repr, names))}. Say which "
        f"one does, by --column {field}=NAME."
    )


def columns_file(log: str) -> Path:
    """Return the path of the file beside a log that states its columns."""
    return Path(f"{log}.toml")


def stated_beside(log: str) -> dict[str, str]:
    """Return the columns that the file beside a log states; none where there is no such file.

    Raises:
        DataError: The file cannot be used.
    """
    path = columns_file(log)
    if "://" in log or not path.is_file():
        return {}
    try:
        columns = tomllib.loads(path.read_text(encoding="utf-8")).get("columns", {})
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not TOML: {error}. Mend it or take it away.") from None
    if not isinstance(columns, dict) or not all(isinstance(name, str) for name in columns.values()):
        raise DataError(f'{path} should hold [columns], and lines such as query = "search_term".')
    return columns
