import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooktune import EventWeight, RequestError
from hooktune.contract.event_weight import counted_events


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ("purchase=5", EventWeight("purchase", 5)),
        ("visit=2@30", EventWeight("visit", 2, at_least=30)),
        ("a=b=0.5", EventWeight("a=b", 0.5)),
        ("at@home=1@-2.5", EventWeight("at@home", 1, at_least=-2.5)),
    ],
)
def test_a_weight_is_written_in_one_word(stated, meant):
    assert EventWeight.parse(stated) == meant


@pytest.mark.parametrize("stated", ["purchase", "=5", "a=", "a=b", "a=1@", "a=1@b", "a=1@2@3", ""])
def test_what_is_no_weight_is_refused_with_an_example(stated):
    with pytest.raises(RequestError, match="Write one such as purchase=5"):
        EventWeight.parse(stated)


@pytest.mark.parametrize("stated", ["a=0", "a=-1", "a=nan", "a=inf", "a=1001", "a=1@inf"])
def test_a_weight_that_is_worth_nothing_or_too_much_is_refused(stated):
    with pytest.raises(RequestError, match="'a' should be"):
        EventWeight.parse(stated)


@given(st.text())
def test_any_text_is_a_weight_or_refused(text):
    with contextlib.suppress(RequestError):
        assert EventWeight.parse(text).kind in text


def test_the_weightiest_comes_first_and_clicks_count_besides():
    weights = [EventWeight("visit", 1, 10), EventWeight("visit", 3, 60), EventWeight("buy", 5)]
    assert counted_events(("click", "visit"), weights) == (
        EventWeight("buy", 5), EventWeight("visit", 3, 60), EventWeight("click"),
        EventWeight("visit", 1, 10),
    )  # fmt: skip
    assert counted_events("click", [EventWeight("click", 2)]) == (EventWeight("click", 2),)


def test_two_weights_of_one_thing_are_refused():
    with pytest.raises(RequestError, match="'buy' has two weights"):
        counted_events("click", [EventWeight("buy", 5), EventWeight("buy", 4)])
