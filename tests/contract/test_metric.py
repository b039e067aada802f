import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hooktune.contract.metric import (
    ACCUMULATIONS,
    Accumulator,
    MainMetric,
    MetricDescription,
    ranking_warning,
    shown_metrics,
)
from hooktune.errors import RequestError

FIGURES = st.floats(-1e6, 1e6)
NAN = math.nan


@settings(deadline=None)
@given(st.lists(FIGURES, min_size=1, max_size=40), st.integers(1, 12))
def test_running_figures_are_those_of_all_values_so_far(values, window):
    accumulator = Accumulator(window)
    for count, value in enumerate(values, start=1):
        metrics = accumulator.add({"loss": value}, ACCUMULATIONS)
        past = values[:count]
        recent = past[-window:]
        assert metrics == {
            "loss": value,
            "mean_loss": pytest.approx(sum(past) / count, abs=1e-6),
            "sliding_loss": pytest.approx(sum(recent) / len(recent), abs=1e-6),
            "min_loss": min(past),
            "max_loss": max(past),
        }


def test_each_metric_is_followed_for_itself_and_only_as_asked():
    accumulator = Accumulator()
    accumulator.add({"a": 1.0, "b": 5.0}, ["mean"])
    assert accumulator.add({"a": 3.0}, ["mean"]) == {"a": 3.0, "mean_a": 2.0}
    assert accumulator.add({"b": 6.0}, []) == {"b": 6.0}


def test_a_nan_enters_no_running_figure():
    accumulator = Accumulator()
    accumulator.add({"a": 1.0}, ["mean"])
    metrics = accumulator.add({"a": NAN}, ["mean"])
    assert list(metrics) == ["a"]
    assert accumulator.add({"a": 2.0}, ["mean"])["mean_a"] == 1.5


@pytest.mark.parametrize(
    ("value", "other", "better"),
    [
        (2.0, 1.0, True),
        (1.0, 1.0, False),
        (1.0, None, True),
        (1.0, NAN, True),
        (None, 1.0, False),
        (NAN, 1.0, False),
        (NAN, None, False),
    ],
)
def test_a_missing_value_or_a_nan_never_beats(value, other, better):
    assert MainMetric().beats(value, other) is better


def test_the_direction_of_the_main_metric_counts():
    assert MainMetric("test_loss", greater_is_better=False).beats(1.0, 2.0)
    for metric in (MainMetric("m"), MainMetric("m", greater_is_better=False)):
        best_first = sorted([NAN, 1.0, None, 2.0], key=metric.sort_key)
        assert best_first[:2] == ([2.0, 1.0] if metric.greater_is_better else [1.0, 2.0])


@pytest.mark.parametrize("text", ["test_loss:min", "test_loss:max", "a:b:min"])
def test_a_main_metric_is_read_back_from_its_text(text):
    assert str(MainMetric.parse(text)) == text


def test_a_main_metric_is_higher_is_better_unless_said_otherwise():
    assert MainMetric.parse("test_mrr") == MainMetric("test_mrr", greater_is_better=True)
    for wrong in ("", "test_mrr:up", ":min"):
        with pytest.raises(RequestError, match="is no metric"):
            MainMetric.parse(wrong)


def test_a_described_metric_has_its_direction_unless_another_is_asked_for():
    described = {"latency": MetricDescription("latency", greater_is_better=False, unit="ms")}
    assert MainMetric.parse("test_latency", described) == MainMetric("test_latency", False)
    assert MainMetric.parse("test_latency:max", described) == MainMetric("test_latency", True)
    assert MainMetric.parse("test_other", described) == MainMetric("test_other", True)


def test_the_main_metric_is_shown_first_and_each_once():
    assert shown_metrics("test_mrr") == ("test_mrr", "test_dist_shift_gap", "test_ndcg_at_10")
    assert shown_metrics("a", "b")[:2] == ("a", "b")


def test_a_model_that_ranks_worse_than_its_starting_model_is_warned_about():
    warning = ranking_warning({"test_ndcg_at_10": 0.4}, {"test_ndcg_at_10": 0.5})
    assert warning is not None
    assert "0.4000" in warning
    assert ranking_warning({"test_ndcg_at_10": 0.5}, {"test_ndcg_at_10": 0.5}) is None
    assert ranking_warning({}, {"test_ndcg_at_10": 0.5}) is None


def test_running_figures_go_on_from_their_kept_state():
    one, other = Accumulator(window=2), Accumulator(window=2)
    for value in (1.0, 5.0, 3.0):
        one.add({"loss": value}, ACCUMULATIONS)
    other.restore(json.loads(json.dumps(one.state())))
    assert other.add({"loss": 2.0}, ACCUMULATIONS) == one.add({"loss": 2.0}, ACCUMULATIONS)
