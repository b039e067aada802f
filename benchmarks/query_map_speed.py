"""How long does the Query Map Method take beside encoding?

    python benchmarks/query_map_speed.py                         some minutes; --quick for a look

Embeddings are random, so that nothing is encoded. Each collection has two sessions of 20 results
for each query, and two clicks in each, on what is most like the query once it is turned. What is
measured is all that the method does when it has the embeddings: adding up clicks, choosing the step
by cross-validation, and learning the map.
"""

import argparse

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch.nn.functional import normalize

from hooktune import Sessions
from hooktune_default.targets import ClickTargets, click_targets
from hooktune_query_map.evidence import MOST_OPENINGS
from hooktune_query_map.losses import Evidence, Sought
from hooktune_query_map.params import Params
from hooktune_query_map.tuning import learn_map
from measuring import now, print_machine, print_table
from silent_run import SilentRun

SIZES = ((1_000, 5_000), (20_000, 1_000_000))
"""Queries and items."""
SHOWN, CLICKS, SESSIONS_PER_QUERY, DIMENSIONS = 20, 2, 2, 384


def main() -> None:
    arguments = _arguments()
    print_machine()
    rows = []
    for queries, items in ((60, 500),) if arguments.quick else SIZES:
        random = np.random.default_rng(0)
        vectors = [random_vectors(count, seed) for seed, count in enumerate((queries, items))]
        sessions = made_sessions(*vectors, random)
        before = now()
        targets = click_targets(sessions)
        evidence = Evidence(*vectors, targets, sessions, made_openings(vectors[1]))
        run = SilentRun()
        learned = learn_map(run, evidence, torch.zeros(DIMENSIONS, DIMENSIONS), Params())
        spent = now() - before
        rows.append(
            {
                "queries": queries,
                "items": items,
                "steps": learned.steps,
                "wall s": spent.wall,
                "CPU s": spent.cpu,
            }
        )
        print_table(rows)


def random_vectors(count: int, seed: int) -> torch.Tensor:
    """Return normalised embeddings in random directions."""
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, DIMENSIONS, generator=generator), dim=1)


def made_openings(items: torch.Tensor) -> Sought:
    """Return what stands for the first sentences of items: these themselves, moved some way."""
    count = min(MOST_OPENINGS, len(items))
    queries = normalize(items[:count] + random_vectors(count, 2), dim=1)
    each = np.arange(count)
    shares = np.ones(count, dtype=np.float32)
    return Sought(queries, items[:count], ClickTargets(each, np.arange(count + 1), each, shares))


def made_sessions(
    queries: torch.Tensor, items: torch.Tensor, random: np.random.Generator
) -> Sessions:
    """Return sessions that show whatever there is."""
    asked: npt.NDArray[np.int64] = np.repeat(np.arange(len(queries)), SESSIONS_PER_QUERY)
    shown = random.integers(len(items), size=(len(asked), SHOWN))
    turn = torch.from_numpy(random.standard_normal((DIMENSIONS, DIMENSIONS)) / DIMENSIONS**0.5)
    meant = queries + queries @ turn.float()
    clicks = np.zeros(shown.shape, dtype=np.int64)
    for row, (query, results) in enumerate(zip(asked, shown, strict=True)):
        clicks[row, (items[results] @ meant[query]).topk(CLICKS).indices.numpy()] = 1
    texts = [
        pa.array([str(place) for place in range(len(vectors))], pa.large_string())
        for vectors in (queries, items)
    ]
    return Sessions(
        queries=texts[0],
        items=texts[1],
        session_ids=pa.array([f"s{place}" for place in range(len(asked))], pa.large_string()),
        query_index=asked,
        offsets=np.arange(len(asked) + 1) * SHOWN,
        item_index=shown.ravel(),
        clicks=clicks.ravel(),
        rank=np.full(shown.size, np.nan, dtype=np.float32),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="try it: 60 queries, 500 items")
    return parser.parse_args()


if __name__ == "__main__":
    main()
