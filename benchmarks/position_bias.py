"""How well position bias is estimated from generated logs whose bias is known.

    python benchmarks/position_bias.py

Three shapes of five seeds, small logs and large ones: how many of the 95 % intervals hold the
truth; how far the estimates, and what methods are given of them, are from it, as the root of the
mean square of the logarithm of their ratio; and how well items are ranked by their true relevance
when their clicks are weighted by either, by the power law p^-0.5, or not at all. At last a log in
which nothing moved.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from hooktune.contract.sessions import Floats, Sessions
from hooktune.data.examination import smoothed
from hooktune.data.position_bias import position_bias
from measuring import print_table

SHAPES: Final[dict[str, Callable[[Floats], Floats]]] = {
    "1 / position": lambda position: 1 / position,
    "0.8 ^ position": lambda position: 0.8 ** (position - 1),
    "a fold after 4": lambda position: np.where(position <= 4, 1.0, 0.3),
}
SEEDS: Final = range(5)
SEARCHES: Final = (300, 8_000)
QUERIES: Final = 100
CANDIDATES: Final = 20
RESULTS: Final = 10


def generated_log(
    shape: Callable[[Floats], Floats], seed: int, searches: int, noise: float = 0.1
) -> tuple[Sessions, Floats]:
    """Make a log, and return it with the relevance of its items.

    The engine ranks by something of its own and noise, so that nothing but clicks tells relevance.
    """
    random = np.random.default_rng(seed)
    relevance = random.beta(1, 4, (QUERIES, CANDIDATES))
    frequency = 1 / np.arange(1, QUERIES + 1)
    query = random.choice(QUERIES, searches, p=frequency / frequency.sum())
    prior = random.beta(1, 4, (QUERIES, CANDIDATES))
    score = prior[query] + noise * random.normal(size=(searches, CANDIDATES))
    shown = np.argsort(-score, axis=1)[:, :RESULTS]
    liked = np.take_along_axis(relevance[query], shown, axis=1)
    clicks = random.random(liked.shape) < liked * shape(np.arange(1, RESULTS + 1))

    def texts(letter: str, count: int) -> pa.LargeStringArray:
        return pa.array([f"{letter}{number:06}" for number in range(count)], pa.large_string())

    sessions = Sessions(
        queries=texts("q", QUERIES),
        items=texts("i", QUERIES * CANDIDATES),
        session_ids=texts("s", searches),
        query_index=query,
        offsets=np.arange(searches + 1) * RESULTS,
        item_index=(query[:, None] * CANDIDATES + shown).ravel(),
        clicks=clicks.ravel().astype(np.int64),
        rank=np.full(clicks.size, np.nan),
    )
    return sessions, relevance.ravel()


def ranking_error(sessions: Sessions, relevance: Floats, examination: Floats) -> float:
    """Return the share of pairs of a query's items that clicks put in the wrong order.

    An item's rate is its clicks over the looks that its impressions are worth; equal rates are half
    an error.
    """
    size = len(relevance)
    clicks = np.bincount(sessions.item_index, sessions.clicked, minlength=size)
    looks = np.bincount(sessions.item_index, examination[sessions.positions - 1], minlength=size)
    rate = np.divide(clicks, looks, out=np.full(size, np.nan), where=looks > 0)
    rates, truth = (each.reshape(QUERIES, CANDIDATES) for each in (rate, relevance))
    found = np.sign(rates[:, :, None] - rates[:, None, :])
    pairs = np.isfinite(found) & (truth[:, :, None] > truth[:, None, :])
    return float(((1 - found[pairs]) / 2).mean())


def main() -> None:
    """Print the figures."""
    print_table(
        [_row(name, shape, searches) for name, shape in SHAPES.items() for searches in SEARCHES]
    )
    sessions, _ = generated_log(SHAPES["1 / position"], 0, SEARCHES[-1], noise=0.0)
    print(f"where nothing moved: {position_bias(sessions).in_words}")


def _row(name: str, shape: Callable[[Floats], Floats], searches: int) -> dict[str, object]:
    position = np.arange(1, RESULTS + 1)
    truth = shape(position) / shape(position[:1])
    held = told = 0
    off, errors = [], []
    for seed in SEEDS:
        sessions, relevance = generated_log(shape, seed, searches)
        bias = position_bias(sessions)
        found = bias.positions
        held += sum(each.low <= truth[each.position - 1] <= each.high for each in found[1:])
        told += max(len(found) - 1, 0)
        estimate = np.array([each.probability for each in found] or [1.0])
        estimate = estimate[np.minimum(position, len(estimate)) - 1]
        taken = (estimate, smoothed(bias)[:RESULTS], position**-0.5, np.ones(RESULTS))
        off.append([np.square(np.log(each / truth)).mean() for each in taken])
        errors.append([ranking_error(sessions, relevance, each) for each in taken])
    columns = ("estimate", "given", "power law", "none")
    return {
        "shape": name,
        "searches": searches,
        "in interval": f"{held} of {told}",
        **_cells("off", columns, np.sqrt(np.mean(off, axis=0))),
        **_cells("wrong pairs", columns, np.mean(errors, axis=0)),
    }


def _cells(what: str, columns: Sequence[str], values: Floats) -> dict[str, object]:
    return {f"{what}: {name}": round(float(x), 3) for name, x in zip(columns, values, strict=True)}


if __name__ == "__main__":
    main()
