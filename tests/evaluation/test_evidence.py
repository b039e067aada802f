"""What a run's figures tell: intervals, guards and warnings."""

import json

import numpy as np
import pytest
from made_figures import made_figures
from made_records import a_run

from hooktune.contract.metric import MainMetric
from hooktune.contract.settings import IterationSettings
from hooktune.evaluation.evidence import evidence_tags
from hooktune.evaluation.query_figures import QueryFigures
from hooktune.tracking.records import HELD_BACK_TAG, INTERVALS_TAG, WARNING_TAG

SHIFT, GAP = "test_not_irrelevant_dist_shift", "test_dist_shift_gap"
NDCG = "test_ndcg_at_10"


def figures_with(**changes: float) -> QueryFigures:
    """Forty queries, each of whose metrics changes by about so much."""
    random = np.random.default_rng(0)
    values = {}
    for name, change in changes.items():
        before = random.uniform(0.2, 0.6, 40)
        values[f"test_{name}"] = before, before + random.normal(change, 0.1, 40)
    return made_figures(values)


def tags_of(figures: QueryFigures, settings: IterationSettings, ranking: float = 0.4):
    return evidence_tags(settings, figures, {NDCG: ranking}, {NDCG: 0.4})


def test_the_intervals_of_the_shown_metrics_are_recorded_with_the_run():
    tags = tags_of(
        figures_with(not_irrelevant_dist_shift=0.2, ndcg_at_10=0.0, odd=1.0), IterationSettings()
    )
    assert tags.keys() == {INTERVALS_TAG}
    intervals = a_run("aa", tags=tags).intervals
    assert intervals.keys() == {SHIFT, NDCG}, "not what nobody is shown"
    assert intervals[SHIFT].verdict(greater_is_better=True) == "better"
    assert intervals[NDCG].verdict(greater_is_better=True) == "unknown"
    assert intervals[NDCG].queries == 40


def test_a_guard_holds_back_what_is_worse_beyond_its_interval():
    figures = figures_with(ndcg_at_10=-0.02, dist_shift_gap=-0.2, latency=0.3)
    held = tags_of(figures, IterationSettings(), ranking=0.38)
    assert held[HELD_BACK_TAG].startswith(f"worse than its starting model by {GAP} (-0.2")
    assert held[WARNING_TAG].startswith("is held back by a guard: worse than its starting model")
    assert held[WARNING_TAG].endswith("the starting model has 0.4000"), "it ranks worse as well"

    assert HELD_BACK_TAG not in tags_of(figures, IterationSettings(guard=()))
    slow = IterationSettings(guard=(MainMetric("test_latency", greater_is_better=False),))
    tags = tags_of(figures, slow)
    assert "by test_latency (+0.2" in tags[HELD_BACK_TAG]
    assert "test_latency" in json.loads(tags[INTERVALS_TAG])


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": {"low": "x"}}'])
def test_what_somebody_edited_is_no_interval(text: str):
    assert a_run("aa", tags={INTERVALS_TAG: text}).intervals == {}
