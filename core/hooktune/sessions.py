"""One search session and one item, as a log states them.

The field names are those of Embedding Studio's session JSON, so that its logs can be read as they
are. Fields that hooktune does not use are ignored.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Timestamp = int | float | str

_CONFIG = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class SearchResult(BaseModel):
    """One result that was shown; its place in the list is its position."""

    model_config = _CONFIG

    object_id: Identifier
    rank: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The score that the search engine gave it, if it was recorded; higher is better."""


class Event(BaseModel):
    """Something that the user did with a shown result; of whatever type, it counts as a click."""

    model_config = _CONFIG

    object_id: Identifier
    event_type: str = "click"
    created_at: Timestamp | None = None


class Session(BaseModel):
    """One search: the query, the results in the order in which they were shown, and the events."""

    model_config = _CONFIG

    session_id: Identifier
    search_query: Query
    search_results: Annotated[tuple[SearchResult, ...], Field(min_length=1)]
    events: tuple[Event, ...] = ()
    user_id: str | None = None
    created_at: Timestamp | None = None

    @model_validator(mode="after")
    def _events_are_on_shown_results(self) -> "Session":
        shown = {result.object_id for result in self.search_results}
        for event in self.events:
            if event.object_id not in shown:
                raise ValueError(f"an event on the result {event.object_id!r}, which was not shown")
        return self
