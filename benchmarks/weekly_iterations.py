"""Does a query map that is tuned week after week drift away?

    python benchmarks/weekly_iterations.py                 some minutes; --quick for a look

Each week brings other queries, asked by people who mean the same by them in all weeks. The Query
Map Method is called on each week's sessions with the model of the week before. Printed are NDCG@10
of queries that no week has, all items being ranked by what people mean, the distance of the map
from the identity, and the size of the saved model; beside them what one map learned from all weeks
at once reaches. Texts are single words of a `StaticEmbedding`, so that encoding takes no time.
"""

import argparse
import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from collections_to_judge import Ints, bootstrap, ndcg
from hooktune import MainMetric, Sessions, TrainingBatch
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.host import Host
from hooktune.plugin.opening import open_host
from hooktune.training.encoder import TextEncoder
from measuring import now, print_machine, print_table
from silent_run import SilentRun

METHOD = "Query Map Method"
DIMENSIONS = 64
ITEMS = 2_000
HELD_OUT = 500
SHOWN, TOP, REACH = 20, 20, 100
ATTRACTION = np.array([0.03, 0.1, 0.45, 0.8])
"""Of grade 0, 1, 2 and 3."""
BATCH_ID = "0" * 24

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class World:
    """Words that are queries, words that are items, and what people mean."""

    model: SentenceTransformer
    queries: pa.LargeStringArray
    items: pa.LargeStringArray
    similarities: Floats
    """Queries x items, under the starting model."""
    grades: Ints
    """Queries x items, 0 to 3."""


def main() -> None:
    arguments = _arguments()
    weeks, of_week = (3, 60) if arguments.quick else (arguments.weeks, arguments.queries)
    print_machine()
    world = make_world(HELD_OUT + weeks * of_week)
    host = open_host(read_catalogue(), METHOD)
    held_out = np.arange(HELD_OUT)
    before = ndcg(world.similarities[held_out], world.grades[held_out])
    size, model, rows = folder_size(world.model), copy.deepcopy(world.model), []
    print(f"NDCG@10 of the starting model: {before.mean():.4f}")
    gains = []
    for week in range(weeks):
        asked = HELD_OUT + np.arange(week * of_week, (week + 1) * of_week)
        started = now()
        model = tuned(host, model, sessions_of_week(world, asked, week), week)
        seconds = (now() - started).cpu
        gains.append(judged(world, model, held_out) - before)
        rows.append({"learned from": f"week {week + 1}", **_row(model, gains[-1], size, seconds)})
    every = np.arange(HELD_OUT, HELD_OUT + weeks * of_week)
    started = now()
    once = tuned(host, copy.deepcopy(world.model), sessions_of_week(world, every, 0), 0)
    seconds = (now() - started).cpu
    gain = judged(world, once, held_out) - before
    shown = rows if arguments.all else [*rows[:1], *rows[9::10]]
    print_table([*shown, {"learned from": "all at once", **_row(once, gain, size, seconds)}])
    if weeks >= 20:
        change = np.mean(gains[-10:], axis=0) - np.mean(gains[:10], axis=0)
        low_to_high = "{:+.4f} [{:+.4f}, {:+.4f}]".format(*bootstrap(change))
        print(f"the last ten weeks less the first ten: {low_to_high}")


def make_world(queries: int, seed: int = 0) -> World:
    """Make words at random places, in groups, and let people mean a turned place by each query."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((60, DIMENSIONS))
    places = [
        centres[random.integers(len(centres), size=count)]
        + 1.2 * random.standard_normal((count, DIMENSIONS))
        for count in (queries, ITEMS)
    ]
    vectors = [
        coordinates / np.linalg.norm(coordinates, axis=1, keepdims=True) for coordinates in places
    ]
    turn = np.eye(DIMENSIONS) + random.standard_normal((DIMENSIONS, DIMENSIONS)) / 8
    meant = vectors[0] @ turn @ vectors[1].T
    rank = np.argsort(np.argsort(-meant, axis=1), axis=1)
    grades = np.select([rank < 5, rank < 15, rank < 40], [3, 2, 1], 0)
    names = [[f"q{place}" for place in range(queries)], [f"i{place}" for place in range(ITEMS)]]
    model = _word_model([*names[0], *names[1]], np.concatenate(vectors))
    texts = [pa.array(column, pa.large_string()) for column in names]
    return World(model, texts[0], texts[1], vectors[0] @ vectors[1].T, grades)


def _word_model(words: list[str], vectors: Floats) -> SentenceTransformer:
    vocabulary = {word: place for place, word in enumerate([*words, "[UNK]"])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.concatenate([vectors, np.zeros((1, DIMENSIONS))]).astype(np.float32)
    words_alone = StaticEmbedding(tokenizer, embedding_weights=weights)
    return SentenceTransformer(modules=[words_alone, Normalize()], device="cpu")


def sessions_of_week(world: World, asked: Ints, seed: int) -> Sessions:
    """Let each of some queries be asked twice, and its results be clicked."""
    random = np.random.default_rng(seed)
    asked = np.repeat(asked, 2)
    shown = []
    for query in asked:
        order = np.argsort(-world.similarities[query])[:REACH]
        drawn = [random.choice(order[:TOP], 14, replace=False)]
        drawn.append(random.choice(order[TOP:], SHOWN - 14, replace=False))
        some = np.concatenate(drawn)
        shown.append(some[np.argsort(-world.similarities[query, some])])
    items = np.concatenate(shown)
    grades = world.grades[np.repeat(asked, SHOWN), items]
    looked_at = np.tile(np.arange(1, SHOWN + 1) ** -0.5, len(asked))
    clicks = random.random(len(items)) < looked_at * ATTRACTION[grades]
    return Sessions(
        queries=world.queries,
        items=world.items,
        session_ids=pa.array([f"s{place}" for place in range(len(asked))], pa.large_string()),
        query_index=asked,
        offsets=np.arange(len(asked) + 1) * SHOWN,
        item_index=items,
        clicks=clicks.astype(np.int64),
        rank=np.full(len(items), np.nan, dtype=np.float32),
    )


def tuned(
    host: Host, model: SentenceTransformer, sessions: Sessions, seed: int
) -> SentenceTransformer:
    """Let the method tune a model, as the host does in an iteration."""
    batch = TrainingBatch(BATCH_ID, sessions, np.zeros(sessions.result_count, dtype=np.float32))
    params = host.hyper_parameters()
    assert params is not None
    return host.fit_batch(SilentRun(seed, MainMetric(), TextEncoder(model)), model, batch, params())


def judged(world: World, model: SentenceTransformer, rows: Ints) -> Floats:
    """Return NDCG@10 of some queries by what people mean."""
    queries = model.encode_query(world.queries.take(pa.array(rows)).to_pylist())
    items = model.encode_document(world.items.to_pylist())
    return ndcg(queries @ items.T, world.grades[rows])


def folder_size(model: SentenceTransformer) -> int:
    """Return how many bytes a model takes when it is saved."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _row(model: SentenceTransformer, gain: Floats, size: int, seconds: float) -> dict[str, object]:
    maps = [module for module in model.modules() if isinstance(module, Dense)]
    identity = torch.eye(DIMENSIONS)
    return {
        "gain": "{:+.4f} [{:+.4f}, {:+.4f}]".format(*bootstrap(gain)),
        "Dense": len(maps),
        "from the identity": sum(
            float((query_map.linear.weight - identity).norm()) for query_map in maps
        ),
        "size, times": folder_size(model) / size,
        "CPU s": seconds,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weeks", type=int, default=50)
    parser.add_argument("--queries", type=int, default=150, help="of a week")
    parser.add_argument("--all", action="store_true", help="print each week")
    parser.add_argument("--quick", action="store_true", help="try it: three small weeks")
    return parser.parse_args()


if __name__ == "__main__":
    main()
