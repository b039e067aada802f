"""The same sessions written as logs of different formats."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Session = dict[str, Any]


def write_json_lines(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def ubi_documents(sessions: Iterable[Session], first_position: int = 1) -> list[Session]:
    """Return sessions in Embedding Studio's form as UBI's documents: queries, then events."""
    queries, events = [], []
    for session in sessions:
        search = {"query_id": session["session_id"], "timestamp": "2024-12-10T00:01:29Z"}
        queries.append(search | {"user_query": session["search_query"]})
        for position, result in enumerate(session["search_results"], start=first_position):
            shown = {
                "object": {"object_id": result["object_id"]}, "position": {"ordinal": position}
            }  # fmt: skip
            events.append(search | {"action_name": "impression", "event_attributes": shown})
        for number, event in enumerate(session["events"]):
            on = {"object": {"object_id": event["object_id"]}}
            kind = event.get("event_type", "click")
            time = {"timestamp": f"2024-12-10T00:02:{number:02}Z"}
            events.append(search | time | {"action_name": kind, "event_attributes": on})
    return queries + events


def bulk_lines(documents: Iterable[Session]) -> Iterable[Session]:
    for document in documents:
        index = "ubi_events" if "action_name" in document else "ubi_queries"
        yield {"index": {"_index": index}}
        yield document


def result_rows(sessions: Iterable[Session]) -> list[Session]:
    """Return a row for each shown result, with the number of clicks on it."""
    return [
        {
            "search_id": session["session_id"],
            "query": session["search_query"],
            "item": result["object_id"],
            "position": position,
            "clicks": sum(e["object_id"] == result["object_id"] for e in session["events"]),
        }
        for session in sessions
        for position, result in enumerate(session["search_results"], start=1)
    ]
