"""How often a promotion hands over a model that changes nothing, and how often one that is better.

    python benchmarks/promotion_safety.py [--repetitions 400] [--seed 0]

An iteration is made up 400 times: its runs' differences from the champion, by query, have the shape
that those of NDCG have in `interval_coverage.py`, zero for six queries of ten and skewed for the
others. The run with the highest mean is the one that is promoted, if its mean beats the champion's.
Without a difference in truth, each hand-over is a mistake. With one, it is of the size for which
hooktune says that so many queries are needed, with a power of 80 %; one of the runs has it.
"""

import argparse

import numpy as np
from scipy.optimize import brentq

from hooktune import Contest, MainMetric
from hooktune.evaluation.contest import contest_intervals
from hooktune.evaluation.statistics import queries_needed
from interval_coverage import SHAPES

METRIC = MainMetric("test_ndcg_at_10")
QUERIES = (30, 100, 1_000)
RUNS = (1, 8)


def size_to_be_seen(queries: int, runs: int, spread: float) -> float:
    """Return the difference that so many queries are said to be needed for."""
    return brentq(lambda size: queries_needed(size, spread, runs) - queries, 1e-3 * spread, spread)


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
        "| handed over, a run with that difference |"
    )
    print("|---|---|---|---|---|---|")
    for count in QUERIES:
        for runs in RUNS:
            size = size_to_be_seen(count, runs, spread)
            random = np.random.default_rng([asked.seed, count, runs])
            wrong = uncorrected = found = 0
            for _ in range(asked.repetitions):
                nothing = draw(random, runs * count).reshape(runs, count) - mean
                is_told = is_handed_over(nothing, 1)
                uncorrected += is_told
                wrong += is_told and (runs == 1 or is_handed_over(nothing, runs))
                nothing[0] += size
                found += is_handed_over(nothing, runs)
            shares = (f"{hits / asked.repetitions:.1%}" for hits in (wrong, uncorrected, found))
            print(f"| {count:,} | {runs} | {size:.4f} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
