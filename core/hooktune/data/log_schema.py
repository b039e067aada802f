"""One search session and one item, as a log states them.

The field names are those of Embedding Studio's session JSON, so that its logs can be read as they
are. Fields that hooktune does not use are ignored.
"""

from typing import Annotated, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from hooktune.contract.long_form import MAX_NAME_LENGTH
from hooktune.contract.times import parse_time

CLICK: Final = "click"
"""The kind of an event for which the log states none."""
UNNAMED_KIND: Final = ""
"""The kind of an event for which the log states something that is no name."""

FLOAT32_MAX: Final = 3.4028234e38
"""Ranks are kept as float32; a greater one would become infinite."""

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH)]
Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Rank = Annotated[float, Field(allow_inf_nan=False, ge=-FLOAT32_MAX, le=FLOAT32_MAX)]


def _event_kind(stated: object) -> str:
    """Return the kind of an event, whatever the log states: no log is refused for it."""
    if stated is None:
        return CLICK
    if isinstance(stated, bool) or not isinstance(stated, str | int):
        return UNNAMED_KIND
    return str(stated)


def moment_of(stated: object) -> int | None:
    """Return a stated time in microseconds since 1970; None for whatever is none."""
    if isinstance(stated, bool) or not isinstance(stated, str | int | float):
        return None
    try:
        return parse_time(stated)[0]
    except (ValueError, OverflowError):
        return None


def user_of(stated: object) -> str | None:
    """Return the stated user, a text or a whole number; None for whatever is none."""
    if isinstance(stated, bool) or not isinstance(stated, str | int):
        return None
    return str(stated) or None


_CONFIG = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class SearchResult(BaseModel):
    """One result that was shown; its place in the list is its position."""

    model_config = _CONFIG

    object_id: Identifier
    rank: Rank | None = None
    """The score that the search engine gave it, if it was recorded; higher is better."""


class Event(BaseModel):
    """Something that happened to a shown result; whoever releases the log says what is a click."""

    model_config = _CONFIG

    object_id: Identifier
    event_type: Annotated[str, BeforeValidator(_event_kind)] = CLICK


class Session(BaseModel):
    """One search: the query, the results in the order in which they were shown, and the events."""

    model_config = _CONFIG

    session_id: Identifier
    search_query: Query
    search_results: tuple[SearchResult, ...]
    events: tuple[Event, ...] = ()
    created_at: Annotated[int | None, BeforeValidator(moment_of)] = None
    """When it was, in microseconds since 1970; None where the log states no time."""
    user_id: Annotated[str | None, BeforeValidator(user_of)] = None

    @model_validator(mode="after")
    def _events_are_on_shown_results(self) -> "Session":
        shown = {result.object_id for result in self.search_results}
        for event in self.events:
            if event.object_id not in shown:
                raise ValueError(
                    f"an event on the result {event.object_id!r}, which was not shown. "
                    "Add it to the session's search_results or take the event out"
                )
        return self


class Item(BaseModel):
    """One item that a search can show: its name in the log and the text that is embedded."""

    model_config = _CONFIG

    object_id: Identifier
    text: str
