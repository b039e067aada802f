"""What is lost where long items are cut, and what do models in parts bring back?

    python benchmarks/long_items.py DATA_FOLDER [--lengths 64 128 256] [--texts 3]

DATA_FOLDER holds `items.jsonl` and `qrels.tsv`, as for `cranfield_judgements.py`. Nothing is tuned:
the model is all-MiniLM-L6-v2, and the whole collection is ranked for each judged query. For each
length in tokens, items are cut after it, and read in parts of it (`hooktune.in_parts`), whose
embeddings are joined

- by the number farthest from 0 in each dimension, as `in_parts` does;
- by the greatest number in each dimension;
- by their mean;
- not at all: an item is as similar as the most similar of its parts, which takes an embedding and
  a place in the index for each part.

With `--texts 3` each item is made of three of the collection's, drawn at random, and as relevant as
the most relevant of them: what a query asks for then stands anywhere in an item.

Printed is NDCG@10 by the judgements, with the difference to the cut items of the same length and
its 95 % interval over the queries.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from collections_to_judge import Floats, Ints
from cranfield_judgements import Grades, judged_ndcg, read_grades, read_items
from hooktune import in_parts
from hooktune.evaluation.statistics import paired_interval
from hooktune_loop import load_model
from measuring import print_machine, print_table

AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Parts:
    """N items in P parts."""

    embeddings: Floats
    """P x D, the parts of an item one after the other, before they are joined."""
    starts: Ints
    """Where each item's parts begin."""

    def reduced(self, by: np.ufunc) -> Floats:
        """Return N x D numbers, each made of those of an item's parts."""
        return np.asarray(by.reduceat(self.embeddings, self.starts, axis=0))


def farthest(parts: Parts) -> Floats:
    """Join as `in_parts` does."""
    least, greatest = parts.reduced(np.minimum), parts.reduced(np.maximum)
    return np.where(greatest > -least, greatest, least)


JOINS: dict[str, Callable[[Parts], Floats]] = {
    "in parts, number farthest from 0": farthest,
    "in parts, greatest number": lambda parts: parts.reduced(np.maximum),
    "in parts, mean": lambda parts: parts.reduced(np.add),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--texts", type=int, default=1, help="how many make an item")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine()
    items, grades = joined_items(
        read_items(arguments.data / "items.jsonl"),
        read_grades(arguments.data / "qrels.tsv"),
        arguments.texts,
    )
    model, texts = load_model(None, "cpu"), [*items.values()]
    queries = model.encode_query([*grades], normalize_embeddings=True)

    def ranked(similarities: Floats) -> Floats:
        return np.array([*judged_ndcg(similarities, items, grades).values()])

    for length in arguments.lengths:
        model.max_seq_length = length
        started = time.process_time()
        embedded = model.encode_document(texts, batch_size=AT_ONCE, normalize_embeddings=True)
        seconds = time.process_time() - started
        cut = ranked(queries @ embedded.T)
        parts = parts_of(in_parts(model, max_parts=1_000), texts)
        seconds_in_parts = time.process_time() - started - seconds
        of_parts = np.maximum.reduceat(queries @ unit(parts.embeddings).T, parts.starts, axis=1)
        found = {name: queries @ unit(join(parts)).T for name, join in JOINS.items()}
        found["in parts, not joined"] = of_parts
        rows: list[dict[str, object]] = [
            {"items": "cut", "NDCG@10": cut.mean(), "beside cut": "", "CPU s": seconds}
        ]
        for name, similarities in found.items():
            each = ranked(similarities)
            beside = paired_interval(cut, each, np.ones(len(cut), np.int64))
            rows.append(
                {
                    "items": name,
                    "NDCG@10": each.mean(),
                    "beside cut": str(beside),
                    "CPU s": seconds_in_parts,
                }
            )
        longer = np.mean(np.diff([*parts.starts, len(parts.embeddings)]) > 1)
        print(
            f"{length} tokens; {longer:.0%} of {len(texts)} items are longer, "
            f"and all have {len(parts.embeddings)} parts; {len(cut)} queries"
        )
        print_table(rows)


def joined_items(
    items: dict[str, str], grades: Grades, count: int
) -> tuple[dict[str, str], Grades]:
    """Make one item of so many, and return these and their grades."""
    names = [*items]
    drawn = names if count == 1 else np.random.default_rng(0).permutation(names).tolist()
    groups = [drawn[start : start + count] for start in range(0, len(drawn), count)]
    texts = {group[0]: " ".join(items[name] for name in group) for group in groups}
    of_groups = {
        query: {group[0]: max(given.get(name, 0.0) for name in group) for group in groups}
        for query, given in grades.items()
    }
    return texts, of_groups


def parts_of(model: SentenceTransformer, texts: list[str]) -> Parts:
    """Return what a model in parts makes of texts before it joins the parts."""
    reader, pooling, join = model[0], model[1], model[2]
    embeddings: list[Floats] = [np.zeros(0)] * len(texts)
    order = np.argsort([len(text) for text in texts], kind="stable").tolist()
    for start in range(0, len(order), AT_ONCE):
        rows = order[start : start + AT_ONCE]
        with torch.inference_mode():
            features = model.preprocess([texts[row] for row in rows], task="document")
            features = pooling(reader(features))
            made = features["sentence_embedding"].numpy()
            counts = (
                features["parts"].sum(dim=1).numpy() if "parts" in features else [1] * len(rows)
            )
            joined = join(dict(features))["sentence_embedding"].numpy()
        ends = np.cumsum(counts)
        for row, of_row in zip(rows, np.split(made, ends[:-1]), strict=True):
            embeddings[row] = of_row
        of_rows = Parts(made, ends - counts)
        np.testing.assert_allclose(farthest(of_rows), joined, atol=1e-6)
    lengths = np.array([len(each) for each in embeddings])
    return Parts(np.concatenate(embeddings), np.cumsum(lengths) - lengths)


def unit(vectors: Floats) -> Floats:
    """Return vectors of length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
