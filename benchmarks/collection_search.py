"""What does measuring over a whole collection take, beyond encoding it?

    python benchmarks/collection_search.py
    python benchmarks/collection_search.py --items 1000000 --queries 1000

The embeddings are drawn at random, as exact search takes the same time for any of them. What is
timed is all that comes after encoding at the end of a run: the search and the metrics, over as many
test sessions as queries, each with two clicks.
"""

import argparse
import resource

import numpy as np
import pyarrow as pa
import torch

from hooktune import Sessions
from hooktune.evaluation.collection import Collection, Embedded
from hooktune.testing import tiny_model
from hooktune.training.embeddings import Embeddings
from hooktune.training.encoder import TextEncoder
from measuring import now, peak_memory, print_machine, print_table

CLICKS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print_machine()
    print_table([measured(items, arguments) for items in arguments.items])


def measured(items: int, arguments: argparse.Namespace) -> dict[str, object]:
    random = np.random.default_rng(0)
    queries = arguments.queries
    sessions = made_up(queries, items, random)
    collection = Collection(sessions, TextEncoder(tiny_model()))
    embedded = Embedded(
        drawn(queries, arguments.dimensions, arguments.device),
        drawn(items, arguments.dimensions, arguments.device),
        None,
    )
    walls, cpus = [], []
    for _ in range(arguments.rounds):
        before = now()
        collection.figures(collection.search(embedded))
        cost = now() - before
        walls.append(cost.wall)
        cpus.append(cost.cpu)
    return {
        "items": items,
        "queries": queries,
        "seconds": sorted(walls)[len(walls) // 2],
        "slowest": max(walls),
        "CPU s": sorted(cpus)[len(cpus) // 2],
        "peak GB": peak_memory(resource.getrusage(resource.RUSAGE_SELF)) / 1e9,
        "embeddings GB": items * arguments.dimensions * 4 / 1e9,
    }


def made_up(queries: int, items: int, random: np.random.Generator) -> Sessions:
    """Return a session for each query, whose results are all clicked."""
    results = queries * CLICKS
    return Sessions(
        queries=pa.array([f"query {number}" for number in range(queries)], pa.large_string()),
        items=pa.array([""] * items, pa.large_string()),
        session_ids=pa.array([str(number) for number in range(queries)], pa.large_string()),
        query_index=np.arange(queries),
        offsets=np.arange(0, results + 1, CLICKS),
        item_index=random.choice(items, results, replace=False),
        clicks=np.ones(results, dtype=np.int64),
        rank=np.full(results, np.nan),
    )


def drawn(rows: int, dimensions: int, device: str) -> Embeddings:
    generator = torch.Generator().manual_seed(rows)
    vectors = torch.randn(rows, dimensions, generator=generator)
    vectors /= vectors.norm(dim=1, keepdim=True)
    return Embeddings(np.arange(rows), vectors.to(device))


if __name__ == "__main__":
    main()
