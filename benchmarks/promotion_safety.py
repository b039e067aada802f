"""How often a promotion hands over a model that changes nothing, and how often one that is better.

    python benchmarks/promotion_safety.py [--repetitions 400] [--seed 0]

An iteration is made up 400 times: its runs' differences from the champion, by query, have the shape
that those of NDCG have in `interval_coverage.py`, zero for six queries of ten and skewed for the
others. The run with the highest mean is the one that is promoted, if its mean beats the champion's.
Without a difference in truth, each hand-over is a mistake. With one, it is of the size that the
normal approximation gives so many queries a power of 80 % for, of one run that nobody chose.
"""

import argparse
import math

import numpy as np

from hooktune import Contest, MainMetric
from hooktune.evaluation.contest import contest_intervals
from interval_coverage import SHAPES

METRIC = MainMetric("test_ndcg_at_10")
QUERIES = (30, 100, 1_000)
RUNS = (1, 8)
TO_BE_SEEN = 1.959964 + 0.841621
"""Standard errors of a difference that is found in four of five cases."""


def is_handed_over(differences: np.ndarray, corrected_for: int) -> bool:
    """Tell whether the best of some runs takes over.

    Args:
        differences: By how much each of R runs, a row, differs by each of Q queries.
        corrected_for: Of how many runs it is said to be the best; R in hooktune.
    """
    best = differences[differences.mean(axis=1).argmax()]
    if best.mean() <= 0:
        return False
    count = len(best)
    values = (np.zeros(count), best, np.ones(count, dtype=np.int64))
    contest = Contest(
        main_metric=METRIC,
        candidate={METRIC.name: float(best.mean())},
        present={METRIC.name: 0.0},
        rival="the champion",
        sessions="made-up sessions",
        batch_id="0" * 24,
        default="better",
        intervals=contest_intervals(METRIC, {METRIC.name: values}, corrected_for),
    )
    return not contest.objections()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    draw, mean = SHAPES["NDCG"]
    spread = float(draw(np.random.default_rng(asked.seed), 1_000_000).std())
    print(
        "| queries | runs | true difference | handed over, no difference | the same, uncorrected "
        "| handed over, that difference |"
    )
    print("|---|---|---|---|---|---|")
    for count in QUERIES:
        size = TO_BE_SEEN * spread / math.sqrt(count)
        for runs in RUNS:
            random = np.random.default_rng([asked.seed, count, runs])
            wrong = uncorrected = found = 0
            for _ in range(asked.repetitions):
                nothing = draw(random, runs * count).reshape(runs, count) - mean
                is_told = is_handed_over(nothing, 1)
                uncorrected += is_told
                wrong += is_told and (runs == 1 or is_handed_over(nothing, runs))
                found += is_handed_over(nothing + size, runs)
            shares = (f"{hits / asked.repetitions:.1%}" for hits in (wrong, uncorrected, found))
            print(f"| {count:,} | {runs} | {size:.4f} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
