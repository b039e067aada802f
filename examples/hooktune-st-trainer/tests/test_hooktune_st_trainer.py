import hooktune_st_trainer
import pytest

from hooktune import RequestError
from hooktune.testing import check_method, made_up_sessions


def test_it_keeps_the_contract_of_a_method():
    check_method(hooktune_st_trainer)


def test_each_click_is_a_pair():
    sessions = made_up_sessions()
    pairs = hooktune_st_trainer.clicked_pairs(sessions)
    assert len(pairs) == sessions.clicked.sum()
    with pytest.raises(RequestError, match="Nothing was clicked"):
        hooktune_st_trainer.clicked_pairs(sessions.take(~sessions.not_irrelevant))
