"""Release a large made-up log, open the batch and split it; print speed and peak memory.

    python benchmarks/release.py [--sessions 1000000] [--items 200000] [--results 20]

Each part runs in a process of its own, whose peak memory holds the imports too.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hooktune.contract.splits import held_out_sessions
from hooktune.data.manifest import read_manifest
from hooktune.data.release import open_batch
from hooktune.iteration.log_release import release_batch
from measuring import cost_of_part

AT_ONCE = 10_000
MINI_BATCH = 1_000


def main() -> None:
    arguments = _arguments()
    if arguments.part is not None:
        _print_measured(arguments.part, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder, arguments.sessions, arguments.items, arguments.results)
        size = (folder / "log.jsonl").stat().st_size
        print(f"{arguments.sessions} sessions, {size / 1e9:.2f} GB of JSON lines")
        print(f"{'part':<12}{'seconds':>10}{'CPU s':>10}{'sessions/s':>12}{'peak GB':>10}")
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--folder", name]
            subprocess.run(command, check=True)


def write_log(folder: Path, sessions: int, items: int, results: int) -> None:
    """Write sessions, four in five of them with clicks, and the texts of their items."""
    random = np.random.default_rng(0)
    with (folder / "items.jsonl").open("w", encoding="utf-8") as file:
        for place in range(items):
            words = " ".join(f"word{word}" for word in random.integers(0, 5_000, 12))
            file.write(f'{{"object_id": "item-{place}", "text": "{words}"}}\n')
    with (folder / "log.jsonl").open("w", encoding="utf-8") as file:
        for start in range(0, sessions, AT_ONCE):
            count = min(AT_ONCE, sessions - start)
            file.writelines(_lines(random, start, count, sessions // 5 + 1, items, results))


def _lines(
    random: np.random.Generator, start: int, count: int, queries: int, items: int, results: int
) -> Iterator[str]:
    shown = random.integers(0, items, (count, results))
    scores = np.sort(random.random((count, results)))[:, ::-1]
    clicked = random.integers(0, results, (count, 2))
    clicks = random.binomial(2, 0.55, count)
    query = random.integers(0, queries, count)
    for row in range(count):
        listed = ", ".join(
            f'{{"object_id": "item-{item}", "rank": {score:.4f}}}'
            for item, score in zip(shown[row], scores[row], strict=True)
        )
        events = ", ".join(
            f'{{"object_id": "item-{shown[row, place]}", "event_type": "click"}}'
            for place in clicked[row, : clicks[row]]
        )
        yield (
            f'{{"session_id": "session-{start + row}", "search_query": "query {query[row]}", '
            f'"search_results": [{listed}], "events": [{events}]}}\n'
        )


def release(folder: Path) -> None:
    """Release the log."""
    release_batch(folder / "log.jsonl", folder / "items.jsonl", folder / "batch")


def opened(folder: Path) -> None:
    """Open the batch, which checks its content."""
    open_batch(folder / "batch")


def split(folder: Path) -> None:
    """Open the batch, split it and go through the training part in mini-batches."""
    sessions = open_batch(folder / "batch").sessions
    in_test = held_out_sessions(sessions, 0.2, 0)
    train, test = sessions.take(~in_test), sessions.take(in_test)
    del sessions
    order = np.random.default_rng(0).permutation(len(train))
    results = sum(
        train.take(order[start : start + MINI_BATCH]).result_count
        for start in range(0, len(train), MINI_BATCH)
    )
    assert results == train.result_count
    assert len(test)


PARTS = {"release": release, "open": opened, "split": split}


def _print_measured(part: str, folder: Path) -> None:
    cost, peak = cost_of_part(lambda: PARTS[part](folder))
    speed = read_manifest(folder / "batch").counts.sessions / cost.wall
    print(f"{part:<12}{cost.wall:>10.1f}{cost.cpu:>10.1f}{speed:>12.0f}{peak:>10.2f}", flush=True)


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--results", type=int, default=20)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
