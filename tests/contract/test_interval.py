"""How far a difference can be trusted, and how that is said."""

import math
from dataclasses import replace

import pytest

from hooktune.contract.interval import Interval

UNKNOWN = Interval(0.02, -0.01, 0.05, 0.2, 45, 2_345)


@pytest.mark.parametrize(
    ("interval", "greater_is_better", "said"),
    [
        (
            UNKNOWN, True,
            "By m it cannot be told from the starting model: +0.0200 [-0.0100, +0.0500] on 45 "
            "queries; about 2,300 more are needed.",
        ),
        (
            replace(UNKNOWN, more_queries=7), True,
            "By m it cannot be told from the starting model: +0.0200 [-0.0100, +0.0500] on 45 "
            "queries; about 7 more are needed.",
        ),
        (
            replace(UNKNOWN, more_queries=10**8), True,
            "By m it cannot be told from the starting model: +0.0200 [-0.0100, +0.0500] on 45 "
            "queries, and a million more would not tell.",
        ),
        (
            Interval(0.02, 0.01, 0.03, 0.004, 45, None), True,
            "By m it is better than the starting model: +0.0200 [+0.0100, +0.0300] on 45 queries, "
            "p 0.004.",
        ),
        (
            Interval(0.02, 0.01, 0.03, 0.004, 45, None), False,
            "By m it is worse than the starting model: +0.0200 [+0.0100, +0.0300] on 45 queries, "
            "p 0.004.",
        ),
        (
            Interval(0.03, 0.02, 0.04, 0.0002, 45, None), True,
            "By m it is better than the starting model: +0.0300 [+0.0200, +0.0400] on 45 queries, "
            "p below 0.001.",
        ),
        (
            Interval(0.0, 0.0, 0.0, 1.0, 45, None), True,
            "By m it equals the starting model on 45 queries.",
        ),
        (
            Interval(0.3, math.nan, math.nan, 1.0, 1, None), True,
            "By m it cannot be told from the starting model: +0.3000 on 1 queries.",
        ),
    ],
)  # fmt: skip
def test_what_it_tells_is_said_in_a_sentence(interval: Interval, greater_is_better, said):
    assert interval.in_words("m", greater_is_better=greater_is_better) == said


def test_it_tells_only_where_interval_and_test_agree():
    assert not replace(UNKNOWN, low=0.01, p=0.06).is_told
    assert not replace(UNKNOWN, p=0.01).is_told
    assert replace(UNKNOWN, low=0.01, p=0.01).is_told
