"""What a report says first."""

from dataclasses import replace

from made_report import NDCG, SHIFT, made_facts

from hooktune import MetricChange
from hooktune.contract.interval import Interval
from hooktune.evaluation.report.report import answer


def test_it_says_whether_the_run_is_better_and_whether_that_can_be_told():
    assert answer(made_facts()) == (
        f"By {SHIFT} it is better than the starting model: +0.0500 [+0.0200, +0.0800] on 40 "
        f"queries, p 0.001. By {NDCG} it cannot be told from the starting model: +0.0200 "
        "[-0.0100, +0.0500] on 40 queries; about 130 more are needed. Its model is kept."
    )


def test_what_the_holdout_says_counts():
    worse = MetricChange(0.6, 0.5, Interval(-0.1, -0.15, -0.05, 0.001, 30, None))
    facts = made_facts()
    told = answer(replace(facts, changes={**facts.changes, "holdout_ndcg_at_10": worse}))
    assert "By holdout_ndcg_at_10 it is worse than the starting model" in told
    assert NDCG not in told


def test_a_run_of_an_earlier_version_is_told_without_certainty():
    facts = replace(made_facts(), changes={SHIFT: MetricChange(0.0, 0.05)}, improved=False)
    assert answer(facts) == (
        f"{SHIFT} is 0.0500 after 0.0000; how sure that is was not kept. Its model is not kept."
    )
    assert answer(replace(facts, changes={})).startswith("It cannot be told")
