"""Sessions as logs really hold them, which a method has to get along with."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hooktune.contract.sessions import Sessions
from hooktune.testing.made_up import made_up_log, made_up_sessions, sessions_of_log

_UNICODE = (
    "żółć 🦄",
    "寿司とラーメン",
    "مرحبا بالعالم",
    "e\u0301te\u0301",
    "\u200bzero\u200dwidth",
    "ﬁſh №½",
)


def many_sessions() -> Sessions:
    """Enough sessions for many steps."""
    return made_up_sessions(sessions=160)


def many_queries() -> Sessions:
    """Enough queries for a method that learns from nothing less."""
    return made_up_sessions(sessions=160, queries=80, items=60)


def one_session() -> Sessions:
    """A single session, with clicked and other results."""
    sessions = made_up_sessions(sessions=12)
    clicks = sessions.sum_per_session(sessions.clicked)
    both = (clicks > 0) & (clicks < sessions.lengths)
    return sessions.take(np.flatnonzero(both)[:1])


def unicode_texts() -> Sessions:
    """Queries and items in many scripts, with emoji, combining and invisible characters."""
    return _with_texts(
        lambda text, place: f"{_UNICODE[place % len(_UNICODE)]} {text}",
        lambda text, place: f"{text} {_UNICODE[place % len(_UNICODE)]}",
    )


def long_texts() -> Sessions:
    """Texts far longer than what the model reads."""
    return _with_texts(
        lambda text, _: f"{text} " * 100,
        lambda text, _: f"{text} " * 200,
        sessions=6,
        queries=3,
        items=8,
        results=4,
    )


def duplicate_queries() -> Sessions:
    """One query in all sessions, which show the same items in different orders."""
    return _with_texts(lambda _, __: "apple bread", lambda text, _: text)


def single_results() -> Sessions:
    """Among others, sessions that show one result only, which was clicked."""
    log, items = made_up_log(sessions=12)
    for session in log[::2]:
        del session["search_results"][1:]
        shown = session["search_results"][0]["object_id"]
        session["events"] = [{"object_id": shown, "event_type": "click"}]
    return sessions_of_log(log, items)


def _with_texts(
    query: Callable[[str, int], str], item: Callable[[str, int], str], **sizes: int
) -> Sessions:
    log, items = made_up_log(**{"sessions": 12, **sizes})
    queries: dict[str, Any] = {}
    for session in log:
        place = queries.setdefault(session["search_query"], len(queries))
        session["search_query"] = query(session["search_query"], place)
    for place, shown_item in enumerate(items):
        shown_item["text"] = item(shown_item["text"], place)
    return sessions_of_log(log, items)
