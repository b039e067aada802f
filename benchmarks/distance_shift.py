"""Measure distance shift on many made-up sessions, the embeddings being given.

    python benchmarks/distance_shift.py [--sessions 1000000] [--items 200000] [--dimensions 384]

Prints the seconds of the similarities under two models and of the metric, and the peak memory of
the whole process, which holds sessions, imports and the embeddings of one model at a time.
"""

import argparse
import resource
import time

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hooktune import Sessions
from hooktune.training.scoring import similarities
from hooktune_metrics.distance_shift import distance_shift
from measuring import peak_memory

RESULTS = 20


def main() -> None:
    arguments = _arguments()
    sessions = made_up_sessions(arguments.sessions, arguments.items)
    query_rows = sessions.query_index[sessions.session_index]
    scores, seconds, cpu_seconds = [], [], 0.0
    for seed in (1, 2):
        queries = embeddings(len(sessions.queries), arguments.dimensions, seed)
        items = embeddings(arguments.items, arguments.dimensions, -seed % 97)
        started, started_cpu = time.perf_counter(), time.process_time()
        scores.append(similarities(queries, query_rows, items, sessions.item_index))
        seconds.append(time.perf_counter() - started)
        cpu_seconds += time.process_time() - started_cpu
        del queries, items
    baseline, tuned = scores
    started = time.perf_counter()
    metrics = distance_shift(sessions, tuned, baseline)
    of_metric = time.perf_counter() - started
    peak = peak_memory(resource.getrusage(resource.RUSAGE_SELF)) / 1e9
    print(f"{len(sessions)} sessions of {RESULTS} results, {arguments.items} items")
    before, after = seconds
    print(f"similarities {before:.1f} s before and {after:.1f} s after, CPU {cpu_seconds:.1f} s")
    print(f"distance shift {of_metric:.1f} s, peak {peak:.2f} GB")
    print({name: round(value, 6) for name, value in metrics.items()})


def made_up_sessions(count: int, items: int) -> Sessions:
    """Make sessions in columns, four in five of them with clicks."""
    random = np.random.default_rng(0)
    queries = count // 5 + 1
    clicks = random.random(count * RESULTS, dtype=np.float32) < 1.6 / RESULTS
    return Sessions(
        queries=pa.array(np.arange(queries)).cast(pa.large_string()),
        items=pa.array(np.arange(items)).cast(pa.large_string()),
        session_ids=pa.array(np.arange(count)).cast(pa.large_string()),
        query_index=random.integers(0, queries, count, dtype=np.int32),
        offsets=np.arange(count + 1) * RESULTS,
        item_index=random.integers(0, items, count * RESULTS, dtype=np.int32),
        clicks=clicks.astype(np.int32),
        rank=np.full(count * RESULTS, np.nan, dtype=np.float32),
    )


def embeddings(count: int, dimensions: int, seed: int) -> npt.NDArray[np.float32]:
    """Make normalised embeddings."""
    random = np.random.default_rng(seed)
    made = random.standard_normal((count, dimensions), dtype=np.float32)
    # Without a temporary copy, which would be the most memory that is ever used here.
    made /= np.sqrt(np.einsum("ij,ij->i", made, made))[:, None]
    return made


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--dimensions", type=int, default=384)
    return parser.parse_args()


if __name__ == "__main__":
    main()
