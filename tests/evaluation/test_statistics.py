"""What a difference between two models is worth."""

import time

import numpy as np
import pytest
from scipy import stats

from hooktune.contract.interval import Interval
from hooktune.evaluation.statistics import (
    holm,
    holm_corrected,
    paired_interval,
    queries_needed,
)

SCARCELY_TOLD = np.tile([0.28, -0.12], 20) + np.linspace(-0.01, 0.01, 40)


def interval_of(differences, sessions=None) -> Interval:
    differences = np.asarray(differences, dtype=float)
    sessions = np.ones(len(differences), int) if sessions is None else np.asarray(sessions)
    return paired_interval(np.zeros(len(differences)), differences, sessions)


def test_the_difference_is_that_of_the_means_over_sessions():
    before, after, sessions = np.array([0.5, 0.2]), np.array([0.6, 0.1]), np.array([3, 1])
    found = paired_interval(before, after, sessions)
    assert found.difference == pytest.approx((3 * 0.1 - 0.1) / 4)
    assert found.low < found.difference < found.high
    assert found.queries == 2


def test_a_symmetric_sample_gives_about_what_student_and_scipy_give():
    differences = np.random.default_rng(0).normal(0.1, 0.5, 100)
    found = interval_of(differences)
    expected = stats.ttest_1samp(differences, 0)
    low, high = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    swapped = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=4_999, random_state=1
    )
    assert found.p == pytest.approx(swapped.pvalue, abs=0.02)


def test_the_same_values_give_the_same_interval():
    differences = np.random.default_rng(0).normal(size=50)
    assert interval_of(differences) == interval_of(differences)


def test_models_that_are_equal_or_known_of_one_query_are_not_told_apart():
    equal = interval_of([0.0] * 40)
    assert (equal.difference, equal.low, equal.high, equal.p) == (0, 0, 0, 1)
    assert equal.verdict(greater_is_better=True) == "unknown"
    assert equal.more_queries is None, "however many there are"
    alone = interval_of([0.3])
    assert np.isnan([alone.low, alone.high]).all()
    assert alone.verdict(greater_is_better=True) == "unknown"
    assert str(alone) == "+0.3000"
    with pytest.raises(ValueError, match="no queries"):
        interval_of([])


def test_one_query_among_many_that_do_not_change_tells_nothing():
    found = interval_of([0.8] + [0.0] * 39)
    assert found.low < 0 < found.high
    assert found.p > 0.3


def test_what_every_query_gains_is_told_from_few():
    found = interval_of([0.1] * 8)
    assert found.verdict(greater_is_better=True) == "better"
    assert found.verdict(greater_is_better=False) == "worse"
    assert found.low == pytest.approx(0.1)
    assert found.p < 0.05


def test_two_queries_that_gain_the_same_are_too_few():
    found = interval_of([0.1, 0.1])
    assert found.low == pytest.approx(0.1)
    assert found.p > 0.05
    assert found.verdict(greater_is_better=True) == "unknown"
    assert found.more_queries >= 1


def test_a_query_with_many_sessions_counts_as_one_query():
    differences = np.random.default_rng(0).normal(0.1, 0.3, 60)
    even = interval_of(differences)
    uneven = interval_of(differences, np.r_[np.full(3, 40), np.ones(57, int)])
    assert uneven.high - uneven.low > 1.5 * (even.high - even.low)


def test_so_many_more_queries_show_the_difference_in_four_of_five_cases():
    random = np.random.default_rng(3)
    few = np.tile([0.13, -0.07], 20)
    found = interval_of(few)
    assert found.verdict(greater_is_better=True) == "unknown"
    enough = found.queries + found.more_queries
    told = [
        interval_of(random.normal(few.mean(), few.std(ddof=1), enough)).is_told for _ in range(100)
    ]
    assert 70 <= sum(told) <= 90


def test_the_needed_queries_are_those_of_a_paired_t_test_also_where_it_is_corrected():
    # Checked against the noncentral t distribution, by which a test's power is exact.
    for comparisons in (1, 8):
        count = round(queries_needed(0.5, 1.0, comparisons))
        level = 1 - 0.025 / comparisons
        power = stats.nct.sf(stats.t.ppf(level, count - 1), count - 1, 0.5 * count**0.5)
        assert power == pytest.approx(0.8, abs=0.01)
    assert queries_needed(0.5, 1.0, 8) > queries_needed(0.5, 1.0)


def test_the_best_of_several_models_is_better_by_chance_more_often():
    values = np.zeros(40), SCARCELY_TOLD, np.ones(40, int)
    alone, best_of_8 = paired_interval(*values), paired_interval(*values, chosen_from=8)
    assert alone.is_told
    assert alone.more_queries is None
    assert not best_of_8.is_told
    assert best_of_8.p == pytest.approx(8 * alone.p, rel=0.2)
    assert best_of_8.more_queries > 0
    assert (best_of_8.low, best_of_8.high) == (alone.low, alone.high)


def test_what_a_correction_leaves_untold_is_told_by_more_queries():
    told = interval_of(SCARCELY_TOLD)
    corrected = holm_corrected([told] * 8)[0]
    assert told.is_told
    assert not corrected.is_told
    assert corrected.more_queries > 0


def test_ten_thousand_queries_take_no_time_and_more_of_them_even_less():
    for count in (10_000, 100_000):
        differences = np.random.default_rng(0).normal(0.02, 0.3, count)
        begin = time.perf_counter()
        found = interval_of(differences)
        assert time.perf_counter() - begin < 3
        assert found.verdict(greater_is_better=True) == "better"
        assert found.p < 0.01


def test_holm_corrects_for_the_number_of_comparisons():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_an_interval_is_stored_as_json():
    for found in (interval_of([0.1, -0.2, 0.3]), interval_of([0.1] * 9), interval_of([0.3])):
        again = Interval.from_json(found.as_json())
        assert again.as_json() == found.as_json()
