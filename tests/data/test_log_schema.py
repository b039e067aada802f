import pytest
from pydantic import ValidationError

from hooktune.data.log_schema import Item, Session


def session(**changed: object) -> Session:
    return Session.model_validate(
        {"session_id": 1, "search_query": "q", "search_results": [{"object_id": 2}]} | changed
    )


def test_numbers_are_taken_as_names():
    assert session().session_id == "1"
    assert session().search_results[0].object_id == "2"


def test_a_session_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        session().search_query = "other"


def test_an_event_on_a_result_that_was_not_shown_is_refused():
    assert len(session(events=[{"object_id": "2"}, {"object_id": 2}]).events) == 2
    with pytest.raises(ValidationError, match="'3', which was not shown"):
        session(events=[{"object_id": "3"}])


@pytest.mark.parametrize("rank", [float("nan"), float("inf"), 1e39, "high"])
def test_a_rank_is_a_finite_number(rank):
    with pytest.raises(ValidationError):
        session(search_results=[{"object_id": 2, "rank": rank}])


def test_an_item_is_a_name_and_a_text():
    assert Item(object_id="a", text="b").text == "b"
