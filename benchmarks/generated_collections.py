"""Collections with a known truth, made up in two shapes: a log, and the grades of its items.

The shop is that of `product_search.py`: queries name a product and wishes in words that the items
do not use. What answers a query is known by construction, and is never in the log. The engine that
served the log is the starting model: of each session's 20 results 14 are of its first 20 and 6 of
its places 21 to 100. A result at position p is clicked with probability p^-0.5 times its
attraction.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from product_search import FILLERS, PRODUCTS, WISHES

Log = list[dict[str, Any]]
Floats = npt.NDArray[np.floating]

_ITEMS_OF_A_PRODUCT: Final = 50
_PROPERTIES: Final = 3
_OF_TOP, _TOP, _OF_REST, _REACH = 14, 20, 6, 100
_ATTRACTION: Final = np.array([0.03, 0.1, 0.45, 0.8])
"""Of grade 0, 1, 2 and 3."""


@dataclass(frozen=True)
class Shape:
    """How much of everything a generated log holds."""

    queries: int
    sessions_per_query: int


SHAPES: Final = {
    "many-queries": Shape(queries=1_500, sessions_per_query=2),
    "few-queries": Shape(queries=60, sessions_per_query=60),
}


@dataclass(frozen=True, eq=False)
class Shop:
    """What is asked and what there is, before anybody has searched."""

    queries: tuple[str, ...]
    items: tuple[str, ...]
    grades: npt.NDArray[np.int64]
    """Queries x items: 0 for another product, 1 for the product, 2 where it meets one of the
    wishes, and 3 where it meets all."""


def make_shop(shape: Shape, seed: int = 0) -> Shop:
    """Make the queries and items of a shape."""
    random = np.random.default_rng(seed)
    wishes = [*WISHES]
    sets = [(wish,) for wish in wishes] + [*combinations(wishes, 2)]
    asked = [(product, wanted) for product in range(len(PRODUCTS)) for wanted in sets]
    chosen = [asked[place] for place in random.permutation(len(asked))[: shape.queries]]
    texts, product_of, meets = [], [], []
    for product, name in enumerate(PRODUCTS):
        for number in range(_ITEMS_OF_A_PRODUCT):
            has = random.choice(len(wishes), size=_PROPERTIES, replace=False)
            said = [str(random.choice(WISHES[wishes[place]])) for place in has]
            said.append(str(random.choice(FILLERS)))
            random.shuffle(said)
            texts.append(f"{name} {number}. {' '.join(said)}")
            product_of.append(product)
            meets.append(np.isin(np.arange(len(wishes)), has))
    is_met = np.array(meets)
    grades = np.zeros((len(chosen), len(texts)), dtype=np.int64)
    for row, (product, wanted) in enumerate(chosen):
        met = is_met[:, [wishes.index(wish) for wish in wanted]].mean(axis=1)
        answers = np.select([met == 1, met > 0], [3, 2], 1)
        grades[row] = np.where(np.array(product_of) == product, answers, 0)
    queries = tuple(f"{' '.join(wanted)} {PRODUCTS[product]}" for product, wanted in chosen)
    return Shop(queries, tuple(texts), grades)


def made_log(shop: Shop, shape: Shape, similarities: Floats, seed: int = 0) -> tuple[Log, Log]:
    """Let shoppers search, and return sessions and items as a log's JSON lines hold them.

    Args:
        shop: What is asked and what there is.
        shape: How often each query is asked.
        similarities: Queries x items, under the starting model.
        seed: The seed of what is shown and clicked.
    """
    random = np.random.default_rng(seed)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :_REACH]
    log = [
        _session(random, shop, query, turn, order[query], similarities[query])
        for query in range(len(shop.queries))
        for turn in range(shape.sessions_per_query)
    ]
    return log, [
        {"object_id": f"item-{place}", "text": text} for place, text in enumerate(shop.items)
    ]


def _session(
    random: np.random.Generator, shop: Shop, query: int, turn: int, order: Any, scores: Floats
) -> dict[str, Any]:
    top = random.choice(order[:_TOP], _OF_TOP, replace=False)
    rest = random.choice(order[_TOP:], _OF_REST, replace=False)
    shown = np.concatenate([top, rest])
    shown = shown[np.argsort(-scores[shown], kind="stable")]
    examined = random.random(len(shown)) < np.arange(1, len(shown) + 1) ** -0.5
    clicked = examined & (random.random(len(shown)) < _ATTRACTION[shop.grades[query, shown]])
    return {
        "session_id": f"session-{query}-{turn}",
        "search_query": shop.queries[query],
        "search_results": [
            {"object_id": f"item-{place}", "rank": round(float(scores[place]), 6)}
            for place in shown
        ],
        "events": [{"object_id": f"item-{place}"} for place in shown[clicked]],
    }
