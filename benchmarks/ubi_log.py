"""Release a large made-up log of User Behavior Insights; print events a second and peak memory.

    python benchmarks/ubi_log.py [--events 5000000] [--items 100000]

Beside it, how fast DuckDB alone reads the same file. Each part runs in a process of its own.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

import hooktune
from measuring import cost_of_part

SHOWN = 9
"""Impressions of a search; one event more is a click."""


def main() -> None:
    arguments = _arguments()
    if arguments.part is not None:
        _print_measured(arguments.part, arguments.folder, arguments.events)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "ubi.ndjson").open("w", encoding="utf-8") as file:
            file.writelines(_lines(arguments.events // (SHOWN + 1), arguments.items))
        with (folder / "items.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(
                f'{{"object_id": "i{item}", "text": "item {item}"}}\n'
                for item in range(arguments.items)
            )
        print(f"{arguments.events} events, {(folder / 'ubi.ndjson').stat().st_size / 1e9:.2f} GB")
        print(f"{'part':<10}{'seconds':>10}{'CPU s':>10}{'events/s':>12}{'GB':>10}", flush=True)
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--folder", name]
            command += ["--events", str(arguments.events)]
            subprocess.run(command, check=True)


def _lines(searches: int, items: int) -> Iterator[str]:
    """Give a search's query, its impressions and a click, all with a time of their own."""
    random = np.random.default_rng(0)
    for search in range(searches):
        time_of = f'"timestamp": {1_733_788_800_000 + search * 1_000}'
        yield f'{{"query_id": "q{search}", "user_query": "query {search % 9_973}", {time_of}}}\n'
        shown = random.integers(0, items, SHOWN)
        for place in range(SHOWN + 1):
            kind, row = ("impression", place) if place < SHOWN else ("click", search % SHOWN)
            yield (
                f'{{"action_name": "{kind}", "query_id": "q{search}", {time_of}, '
                f'"event_attributes": {{"object": {{"object_id": "i{shown[row]}"}}, '
                f'"position": {{"ordinal": {row + 1}}}}}}}\n'
            )


def release(folder: Path) -> None:
    """Release the log."""
    hooktune.release_batch(folder / "ubi.ndjson", folder / "items.jsonl", folder / "batch")


def read(folder: Path) -> None:
    """Let DuckDB read the same fields, and join nothing."""
    columns = (
        "{query_id: 'VARCHAR', user_query: 'VARCHAR', action_name: 'VARCHAR', timestamp: 'BIGINT', "
        "event_attributes: "
        "'STRUCT(object STRUCT(object_id VARCHAR), position STRUCT(ordinal BIGINT))'}"
    )
    with duckdb.connect() as database:
        database.execute(
            "CREATE TABLE documents AS SELECT * FROM read_json(?, format = 'newline_delimited', "
            f"columns = {columns})",
            [str(folder / "ubi.ndjson")],
        )


PARTS = {"DuckDB": read, "release": release}


def _print_measured(part: str, folder: Path, events: int) -> None:
    cost, peak = cost_of_part(lambda: PARTS[part](folder))
    print(f"{part:<10}{cost.wall:>10.1f}{cost.cpu:>10.1f}{events / cost.wall:>12.0f}{peak:>10.2f}")


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
