import numpy as np
import pytest

from hooktune.testing import sessions_of


def test_sessions_are_what_was_written_down():
    sessions = sessions_of(
        [
            ("red shoes", ["leather shoes", "shoe rack", "paint"], ["leather shoes", "paint"]),
            ("paint", ["paint", "shoe rack"], []),
            ("red shoes", ["shoe rack"], ["shoe rack", "shoe rack"]),
        ]
    )
    assert sessions.queries.to_pylist() == ["red shoes", "paint"]
    assert sessions.items.to_pylist() == ["leather shoes", "shoe rack", "paint"]
    assert sessions.session_ids.to_pylist() == ["session 1", "session 2", "session 3"]
    assert sessions.query_index.tolist() == [0, 1, 0]
    assert sessions.item_index.tolist() == [0, 1, 2, 2, 1, 1]
    assert sessions.clicks.tolist() == [1, 0, 1, 0, 0, 2]
    assert sessions.not_irrelevant.tolist() == [True, False, True]
    assert sessions.positions.tolist() == [1, 2, 3, 1, 2, 1]
    assert np.isnan(sessions.rank).all()


def test_no_sessions_are_sessions_too():
    assert len(sessions_of([])) == sessions_of([]).result_count == 0


def test_a_click_on_what_was_not_shown_is_a_mistake():
    with pytest.raises(ValueError, match="session on 'paint' shows no 'brush', which was clicked"):
        sessions_of([("paint", ["red paint"], ["brush"])])
