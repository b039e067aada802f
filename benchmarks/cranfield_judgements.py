"""Does tuning on clicks rank better by real relevance judgements?

Tunes the Default Fine Tuning Method on a log whose true relevance is known, and prints NDCG@10
against the judgements, all items of the collection being ranked for each query, before and after.
The judgements are only measured with. The data folder holds

- `sessions.jsonl` and `items.jsonl`, as `hooktune batch release` reads them;
- `qrels.tsv`: query text, object_id and grade (0 is not relevant), separated by tabs.

    python benchmarks/cranfield_judgements.py DATA_FOLDER --tracking-uri sqlite:///mlflow.db

A result's gain is its grade, as in trec_eval and BEIR (Järvelin & Kekäläinen 2002, "Cumulated
gain-based evaluation of IR techniques").
"""

import argparse
import csv
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hooktune import Runner
from hooktune.data.release import open_batch
from hooktune.iteration.log_release import release_batch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

METHOD = "Default Fine Tuning Method"
DEPTH = 10

Floats = npt.NDArray[np.floating]
Grades = dict[str, dict[str, float]]
"""For each query, the grade of each judged item."""
Quality = dict[str, float]
"""For each query, its NDCG@10."""


def main() -> None:
    arguments = _arguments()
    grades = read_grades(arguments.data / "qrels.tsv")
    with tempfile.TemporaryDirectory() as folder:
        released = Path(folder, "batch")
        release_batch(arguments.data / "sessions.jsonl", arguments.data / "items.jsonl", released)
        started = time.monotonic()
        runner = Runner(arguments.tracking_uri)
        params = dict(pair.split("=", 1) for pair in arguments.param)
        result = runner.run(
            METHOD,
            released,
            max_runs=arguments.max_runs,
            params=params,
            test_ratio=arguments.test_ratio,
        )
        seconds = time.monotonic() - started
        batch = open_batch(released)
    starting_run = runner.tracker.run(result.iteration.starting_run)
    if starting_run is None or result.best is None:
        raise SystemExit("No run beat the starting model: there is nothing to compare.")
    print(f"{result.attempted} runs in {seconds:.0f} s; the best is {result.best.name!r}")
    items = read_items(arguments.data / "items.jsonl")
    before = judged_ndcg(
        all_similarities(runner.load_model(starting_run), items, grades), items, grades
    )
    after = judged_ndcg(all_similarities(result.load_model(), items, grades), items, grades)
    settings = result.iteration.settings
    tested = batch.sessions.take(settings.split(batch.sessions).test)
    held_out = {tested.queries[place].as_py() for place in tested.query_index.tolist()}
    print(f"{'NDCG@10 by judgements':<24}{'queries':>8}{'starting':>10}{'best':>10}")
    for name, queries in (("held-out queries", held_out & before.keys()), ("all queries", before)):
        means = [np.mean([values[query] for query in queries]) for values in (before, after)]
        print(f"{name:<24}{len(queries):>8}{means[0]:>10.4f}{means[1]:>10.4f}")
    for name in ("test_ndcg_at_10", "test_mrr", "test_not_irrelevant_dist_shift"):
        values = (result.iteration.starting_metrics[name], result.best.metrics[name])
        print(f"{name:<32}{values[0]:>10.4f}{values[1]:>10.4f}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="the data folder")
    parser.add_argument("--tracking-uri", help="the MLflow store")
    parser.add_argument("--max-runs", type=int, default=2)
    # More held-out queries than by default, since the mean of a few dozen moves by chance.
    parser.add_argument("--test-ratio", type=float, default=0.4)
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def read_grades(path: Path) -> Grades:
    """Read the judgements."""
    grades: Grades = defaultdict(dict)
    with path.open(encoding="utf-8", newline="") as lines:
        for query, object_id, grade in csv.reader(lines, "excel-tab", quoting=csv.QUOTE_NONE):
            grades[query.strip()][object_id] = float(grade)
    return grades


def read_items(path: Path) -> dict[str, str]:
    """Read the texts of the whole collection by name; a batch holds only items that were shown."""
    with path.open(encoding="utf-8") as lines:
        listed = [json.loads(line) for line in lines]
    return {item["object_id"]: item["text"] for item in listed}


def all_similarities(
    model: "SentenceTransformer", items: dict[str, str], queries: Iterable[str]
) -> Floats:
    """Return the cosine similarity of each query, a row, to each item of the collection."""
    of_items = model.encode_document([*items.values()], normalize_embeddings=True)
    of_queries = model.encode_query([*queries], normalize_embeddings=True)
    return np.asarray(of_queries @ of_items.T)


def judged_ndcg(similarities: Floats, items: Iterable[str], grades: Grades) -> Quality:
    """Return NDCG@10 of each query, the items of the whole collection being ranked for it.

    Args:
        similarities: A row for each of the queries of `grades`, a column for each item.
        items: The names of the items.
        grades: The judgements.
    """
    names, quality = [*items], {}
    for query, similarity in zip(grades, similarities, strict=True):
        gains = np.array([grades[query].get(name, 0.0) for name in names])
        best = np.sort(gains)[::-1]
        if best[0] > 0:
            ranked = gains[np.argsort(-similarity, kind="stable")]
            quality[query] = _dcg(ranked) / _dcg(best)
    return quality


def _dcg(gains: npt.NDArray[np.float64]) -> float:
    shown = gains[:DEPTH]
    return float(np.sum(shown / np.log2(np.arange(2, len(shown) + 2))))


if __name__ == "__main__":
    main()
