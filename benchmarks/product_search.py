"""Made-up product search: sessions of 20 results, in which shoppers click what answers the query.

A query names a product and one or two wishes ("waterproof hiking boots"); an item states a property
in a word of its own ("sealed seams"), so that a model has to learn which words mean the same. Some
properties are what all shoppers of this shop prefer, whatever they ask for. Everything follows from
the seed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hooktune import Sessions
from hooktune.contract.splits import held_out_sessions
from hooktune.testing.made_up import sessions_of_log

Log = list[dict[str, Any]]
SEED = 0
RESULTS = 20
_WITHOUT_CLICK = 0.15
_CLICK_IF_RELEVANT = 0.65

PRODUCTS = (
    "hiking boots", "rain jacket", "office chair", "desk lamp", "coffee grinder", "yoga mat",
    "running shoes", "winter coat", "frying pan", "travel bag", "garden hose", "bed sheets",
    "wool sweater", "bike helmet", "water bottle", "camping tent", "phone case", "headphones",
    "summer dress", "leather belt", "kitchen knife", "dog bed", "wall clock", "bath towels",
    "sleeping bag", "tea kettle", "floor rug", "sun hat", "swim shorts", "baby blanket",
    "tool box", "picture frame",
)  # fmt: skip
WISHES = {
    "waterproof": ("sealed seams keep every drop out", "made for pouring weather"),
    "warm": ("thick fleece lining", "holds body heat on frosty mornings"),
    "light": ("weighs next to nothing", "featherweight build"),
    "cheap": ("our lowest price of the season", "costs little and does the job"),
    "durable": ("reinforced edges that last for years", "survives rough daily use"),
    "small": ("fits into the tightest corner", "compact format"),
    "soft": ("gentle on the skin", "brushed for a smooth touch"),
    "eco friendly": ("made of recycled bottles", "grown without chemicals"),
    "for kids": ("sized for children from three to ten", "designed for little hands"),
    "professional": ("what workshops and studios rely on", "built to trade standards"),
    "foldable": ("collapses flat for storage", "packs down in seconds"),
    "quiet": ("hardly makes a sound", "noise kept below a whisper"),
}
FILLERS = (
    "Comes in several colours and sizes.", "Ships from our own warehouse.",
    "Designed by a small family firm.", "Please see the table for exact measures.",
    "A classic shape that goes with everything.", "Care instructions are printed inside.",
    "New in this year's collection.", "Suitable as a present.",
)  # fmt: skip
_LIKED = ("Two year guarantee and free returns.", "Rated five stars by most buyers.")


@dataclass(frozen=True)
class Workload:
    """How much of everything a made-up log holds.

    Args:
        queries: How many distinct queries the training sessions have.
        items: How many items belong to those queries; a session shows 20 of its query's.
        held_out: How many further queries are held out, with as many items each.
        sessions: How many training sessions, whose queries take turns.
    """

    queries: int
    items: int
    held_out: int
    sessions: int

    def of(self, sessions: int) -> "Workload":
        """Return the same with so many sessions, and with fewer queries if they are too many."""
        queries = min(self.queries, sessions)
        items = self.items * queries // self.queries
        return replace(self, queries=queries, items=items, sessions=sessions)


WORKLOADS = {
    # A mini-batch of the few shows most items several times.
    "few": Workload(queries=5, items=113, held_out=20, sessions=160),
    # Here each query occurs once, so that a mini-batch shows hardly any item twice.
    "many": Workload(queries=200, items=4_700, held_out=24, sessions=200),
    # As in most logs, a query was asked several times, and its sessions share items.
    "repeated": Workload(queries=50, items=1_175, held_out=24, sessions=200),
}


@dataclass(frozen=True)
class Parts:
    """The sessions to train on and those to measure with, which share no query."""

    train: Sessions
    test: Sessions


def split(workload: Workload, sessions: Sessions) -> Parts:
    """Divide the sessions as a run of hooktune with the workload's ratio does."""
    in_test = held_out_sessions(sessions, test_ratio(workload), SEED)
    return Parts(sessions.take(~in_test), sessions.take(in_test))


def test_ratio(workload: Workload) -> float:
    """Return the share of the queries that is held out."""
    return workload.held_out / (workload.queries + workload.held_out)


def made_up_parts(workload: Workload) -> Parts:
    """Make the sessions, divided."""
    return split(workload, sessions_of_log(*made_up_log(workload)))


def write_log(workload: Workload, folder: Path) -> tuple[Path, Path]:
    """Write the sessions and the items as JSON lines, and return the two files."""
    files = folder / "sessions.jsonl", folder / "items.jsonl"
    for file, lines in zip(files, made_up_log(workload), strict=True):
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return files


def made_up_log(workload: Workload) -> tuple[Log, Log]:
    """Make sessions and items as a log's JSON lines hold them.

    The queries take turns until there are at least the wanted training sessions; those that will be
    held out take part in each turn.
    """
    random = np.random.default_rng(SEED)
    queries = workload.queries + workload.held_out
    asked = _asked(random, queries)
    ends = np.arange(queries + 1) * workload.items // workload.queries
    items: Log = []
    gains: list[float] = []
    for query, (product, wishes) in enumerate(asked):
        for _ in range(ends[query], ends[query + 1]):
            text, gain = _item(random, product, wishes)
            items.append({"object_id": f"item-{len(items)}", "text": text})
            gains.append(gain)
    log = []
    for turn in range(-(-workload.sessions // workload.queries)):
        for query in range(queries):
            shelf = np.arange(ends[query], ends[query + 1])
            log.append(_session(random, f"{turn}-{query}", asked[query], shelf, gains, turn == 0))
    return log, items


def _asked(random: np.random.Generator, count: int) -> list[tuple[str, tuple[str, ...]]]:
    """Choose the product and the wishes of distinct queries."""
    chosen: dict[tuple[str, tuple[str, ...]], None] = {}
    while len(chosen) < count:
        wishes = random.choice([*WISHES], size=random.integers(1, 3), replace=False)
        chosen[str(random.choice(PRODUCTS)), tuple(map(str, wishes))] = None
    return [*chosen]


def _item(random: np.random.Generator, product: str, wishes: Sequence[str]) -> tuple[str, float]:
    """Make an item's title and description, and tell how well it answers the query."""
    met = [wish for wish in wishes if random.random() < 0.35]
    others = random.choice([wish for wish in WISHES if wish not in wishes], size=2, replace=False)
    is_liked = random.random() < 0.3
    said = [str(random.choice(WISHES[wish])) for wish in (*met, *others)]
    said += [str(random.choice(FILLERS)) for _ in range(random.integers(0, 4))]
    if is_liked:
        said.append(str(random.choice(_LIKED)))
    random.shuffle(said)
    brand = (
        f"{random.choice(('Nor', 'Al', 'Ver', 'Kel', 'Tam'))}{random.choice(('do', 'vik', 'ra'))}"
    )
    title = f"{brand} {product} {random.integers(10, 999)}"
    return f"{title}. {' '.join(said)}", 0.7 * len(met) / len(wishes) + 0.3 * is_liked


def _session(
    random: np.random.Generator,
    name: str,
    asked: tuple[str, tuple[str, ...]],
    shelf: np.ndarray,
    gains: Sequence[float],
    clicked: bool,
) -> dict[str, Any]:
    """Let a shopper look through 20 items of a query's shelf from the top down."""
    product, wishes = asked
    shown = random.permutation(shelf)[:RESULTS]
    scores = np.sort(random.uniform(0.2, 0.8, len(shown)))[::-1]
    gain = np.array([gains[place] for place in shown])
    examined = random.random(len(shown)) < np.arange(1, len(shown) + 1) ** -0.3
    clicks = examined & (random.random(len(shown)) < _CLICK_IF_RELEVANT * gain)
    if not clicked and random.random() < _WITHOUT_CLICK:
        clicks[:] = False
    elif not clicks.any():
        clicks[np.argmax(gain)] = True
    return {
        "session_id": f"session-{name}",
        "search_query": f"{' '.join(wishes)} {product}",
        "search_results": [
            {"object_id": f"item-{place}", "rank": round(float(score), 4)}
            for place, score in zip(shown, scores, strict=True)
        ],
        "events": [{"object_id": f"item-{place}"} for place in shown[clicks]],
    }
