"""One search session and one item, as a log states them.

The field names are those of Embedding Studio's session JSON, so that its logs can be read as they
are. Fields that hooktune does not use are ignored.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

FLOAT32_MAX: Final = 3.4028234e38
"""Ranks are kept as float32; a greater one would become infinite."""

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Rank = Annotated[float, Field(allow_inf_nan=False, ge=-FLOAT32_MAX, le=FLOAT32_MAX)]

_CONFIG = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class SearchResult(BaseModel):
    """One result that was shown; its place in the list is its position."""

    model_config = _CONFIG

    object_id: Identifier
    rank: Rank | None = None
    """The score that the search engine gave it, if it was recorded; higher is better."""


class Event(BaseModel):
    """Something that the user did with a shown result; of whatever type, it counts as a click."""

    model_config = _CONFIG

    object_id: Identifier
    event_type: str = "click"
    created_at: str | None = None
    """The time as the log states it, a number being turned into text."""


class Session(BaseModel):
    """One search: the query, the results in the order in which they were shown, and the events."""

    model_config = _CONFIG

    session_id: Identifier
    search_query: Query
    search_results: tuple[SearchResult, ...]
    events: tuple[Event, ...] = ()
    user_id: str | None = None
    created_at: str | None = None

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
