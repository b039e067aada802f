"""How often a 95 % interval holds the true difference, and how often no difference passes for one.

    python benchmarks/interval_coverage.py [--repetitions 1000] [--seed 0]

The differences of queries are drawn so that the true one is known: those of NDCG are zero for six
queries of ten and skewed for the others, those of distance shift are never zero and skewed. A query
has one session, or a geometric number of them, two on average. Percentile and BCa intervals stand
beside hooktune's, for the choice.
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy import stats

from hooktune.evaluation.statistics import paired_interval

Draw = Callable[[np.random.Generator, int], np.ndarray]
COUNTS = (30, 100, 1_000)


def of_ndcg(random: np.random.Generator, count: int) -> np.ndarray:
    """Draw differences with a mean of 0.0213."""
    size = random.beta(1, 5, count)
    changed = np.where(random.random(count) < 0.55, 1.4 * size, -size)
    return np.where(random.random(count) < 0.6, 0.0, changed)


def of_shift(random: np.random.Generator, count: int) -> np.ndarray:
    """Draw differences with a mean of 0.1."""
    return random.normal(0.05, 0.1, count) + random.exponential(0.05, count)


SHAPES: dict[str, tuple[Draw, float]] = {
    "NDCG": (of_ndcg, 0.4 * (0.55 * 1.4 - 0.45) / 6),
    "distance shift": (of_shift, 0.1),
}


def one_session(random: np.random.Generator, count: int) -> np.ndarray:  # noqa: ARG001
    return np.ones(count, dtype=np.int64)


def some_sessions(random: np.random.Generator, count: int) -> np.ndarray:
    return random.geometric(0.5, count)


def scipys(kind: str, differences: np.ndarray, sessions: np.ndarray) -> tuple[float, float]:
    found = stats.bootstrap(
        (differences * sessions, sessions),
        lambda values, weights, axis=-1: values.sum(axis) / weights.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=1_999,
        method=kind,
        rng=0,
    )
    return found.confidence_interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(
        "| differences of | sessions of a query | queries | hooktune | BCa | percentile "
        "| no difference, told | told as better |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for shape, (draw, true) in SHAPES.items():
        for words, weigh in (("1", one_session), ("2", some_sessions)):
            for count in COUNTS:
                random = np.random.default_rng([asked.seed, count])
                hits = dict.fromkeys(("hooktune", "BCa", "percentile", "told", "better"), 0)
                for _ in range(asked.repetitions):
                    differences, sessions = draw(random, count), weigh(random, count)
                    found = paired_interval(np.zeros(count), differences, sessions)
                    hits["hooktune"] += found.low <= true <= found.high
                    if count < COUNTS[-1]:  # with more they take minutes
                        for kind in ("BCa", "percentile"):
                            low, high = scipys(kind, differences, sessions)
                            hits[kind] += low <= true <= high
                    null = paired_interval(np.zeros(count), differences - true, sessions)
                    hits["told"] += null.is_told
                    hits["better"] += null.verdict(greater_is_better=True) == "better"
                shares = [f"{hit / asked.repetitions:.1%}" if hit else "–" for hit in hits.values()]
                print(f"| {shape} | {words} | {count} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
