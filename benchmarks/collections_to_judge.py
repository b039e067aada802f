"""Collections with judgements: their sessions as columns over all items, and what ranks well."""

import copy
import csv
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from cranfield_judgements import DEPTH, read_grades, read_items
from generated_collections import SHAPES, made_log, make_shop
from hooktune import Mask, Reader, Sessions
from hooktune.data.release import open_batch
from hooktune.iteration.log_release import release_batch
from hooktune.training.encoder import TextEncoder
from hooktune.training.scoring import score_results
from measuring import now

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.encoding import Task

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]

_DRAWS = 2_000
_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Judged:
    """A collection of Q queries and N items, as the starting model sees it."""

    sessions: Sessions
    """As a released batch has them: its items are those that were shown."""
    texts: tuple[str, ...]
    """All N items, shown or not."""
    gains: Floats
    """Q x N grades, a row for each of the sessions' queries."""
    queries: Floats
    """Q embeddings, normalised."""
    items: Floats
    """N embeddings, normalised."""
    _encoders: dict[int, TextEncoder] = field(default_factory=dict)

    @cached_property
    def before(self) -> Floats:
        """NDCG@10 of each query under the starting model; NaN where nothing is judged relevant."""
        return ndcg(self.queries @ self.items.T, self.gains)

    def after(self, model: "SentenceTransformer", rows: Ints) -> Floats:
        """Return NDCG@10 of some queries under a tuned model.

        Items are encoded again unless the model embeds the first of them as the starting model did.
        """
        items, texts = self.items, [*self.texts]
        some = model.encode_document(texts[:32], normalize_embeddings=True)
        if not np.allclose(some, items[:32], rtol=0, atol=_SAME):
            items = model.encode_document(texts, normalize_embeddings=True)
        asked = self.sessions.queries.take(pa.array(rows)).to_pylist()
        queries = model.encode_query(asked, normalize_embeddings=True)
        return ndcg(queries @ items.T, self.gains[rows])

    def similarities(self, sessions: Sessions) -> Floats:
        """Return the similarity of each result of some of the sessions under the starting model."""
        place = {text: row for row, text in enumerate(self.texts)}
        rows = np.array([place[text] for text in self.sessions.items.to_pylist()])
        queries = self.queries[sessions.query_index[sessions.session_index]]
        similar: Floats = (queries * self.items[rows[sessions.item_index]]).sum(axis=1)
        return similar

    @cached_property
    def _known(self) -> "dict[Task, dict[str, Floats]]":
        return {
            "query": dict(zip(self.sessions.queries.to_pylist(), self.queries, strict=True)),
            "document": dict(zip(self.texts, self.items, strict=True)),
        }

    def learn_of(self, texts: Sequence[str], task: "Task", model: "SentenceTransformer") -> float:
        """Encode what is not known yet by the starting model, and return the CPU seconds of it."""
        known, before = self._known[task], now()
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            encode = model.encode_query if task == "query" else model.encode_document
            known.update(zip(new, encode(new, normalize_embeddings=True), strict=True))
        return (now() - before).cpu

    def look_up(self, texts: Sequence[str], task: "Task") -> Floats:
        """Return the starting model's embeddings of texts that are known."""
        return np.stack([self._known[task][text] for text in texts])

    def encoder(self, model: "SentenceTransformer", frozen_layers: int) -> "EncoderOfKnownTexts":
        """Return what the host would give to methods, with what is known at the start looked up.

        What frozen layers make of the texts is computed at its first use here, for all folds.
        """
        if frozen_layers not in self._encoders:
            encoder = TextEncoder(copy.deepcopy(model), frozen_layers)
            if frozen_layers:
                score_results(encoder.model, self.sessions, encoder)
            self._encoders[frozen_layers] = encoder
        return EncoderOfKnownTexts(self, self._encoders[frozen_layers])

    @contextmanager
    def remembered(self, model: "SentenceTransformer") -> Iterator[None]:
        """Let a model that has the starting model's weights look embeddings up meanwhile."""

        def encode(inputs: Sequence[str], **options: Any) -> Floats:
            return self.look_up(inputs, options["task"])

        model.encode = encode  # type: ignore[method-assign]
        try:
            yield
        finally:
            del model.encode


@dataclass(frozen=True, eq=False)
class EncoderOfKnownTexts:
    """Encodes a collection's texts, but looks up what a model with the starting weights makes."""

    judged: Judged
    encoder: TextEncoder
    encoding: list[float] = field(default_factory=list)
    """The CPU seconds of what the starting model had to encode for a method."""

    def reader(
        self,
        model: "SentenceTransformer",
        frozen_layers: int | None = None,
        *,
        in_bfloat16: bool = False,
    ) -> "ReaderOfKnownTexts":
        """See `hooktune.Encoder`."""
        reader = self.encoder.reader(model, frozen_layers, in_bfloat16=in_bfloat16)
        return ReaderOfKnownTexts(self.judged, self.encoder.model, model, reader, self.encoding)


@dataclass(frozen=True, eq=False)
class ReaderOfKnownTexts:
    """Reads by a model, and looks up what it need not encode."""

    judged: Judged
    start: "SentenceTransformer"
    model: "SentenceTransformer"
    reader: Reader
    encoding: list[float]

    def embed(
        self,
        texts: pa.LargeStringArray,
        index: Ints,
        task: "Task",
        learned: Mask | None = None,
        title: str | None = None,
    ) -> tuple[Ints, torch.Tensor]:
        """See `hooktune.Reader`."""
        if learned is not None or not _is_equal(self.model, self.start):
            return self.reader.embed(texts, index, task, learned, title)
        entries, rows = np.unique(index, return_inverse=True)
        wanted = texts.take(pa.array(entries)).to_pylist()
        self.encoding.append(self.judged.learn_of(wanted, task, self.start))
        vectors = self.judged.look_up(wanted, task)
        return rows, torch.from_numpy(vectors).to(self.model.device)


def _is_equal(one: "SentenceTransformer", other: "SentenceTransformer") -> bool:
    weights, others = one.state_dict(), other.state_dict()
    return weights.keys() == others.keys() and all(
        torch.equal(weight, others[name]) for name, weight in weights.items()
    )


def read_collection(folder: Path, model: "SentenceTransformer", saved: Path | None) -> Judged:
    """Read the sessions, items and judgements of a folder.

    Args:
        folder: Holds `sessions.jsonl`, `items.jsonl` and `qrels.tsv`.
        model: The starting model.
        saved: A folder in which embeddings are looked for, and kept for the next call.
    """
    sessions = _released(folder / "sessions.jsonl", folder / "items.jsonl")
    items = read_items(folder / "items.jsonl")
    grades = read_grades(folder / "qrels.tsv")
    asked = sessions.queries.to_pylist()
    column = {name: place for place, name in enumerate(items)}
    gains = np.zeros((len(asked), len(items)), dtype=np.float32)
    for row, query in enumerate(asked):
        for name, grade in grades.get(query.strip(), {}).items():
            if name in column:
                gains[row, column[name]] = grade
    texts = (*items.values(),)
    return Judged(sessions, texts, gains, *_embeddings(model, asked, texts, saved))


def generated(shape: str, model: "SentenceTransformer", saved: Path | None) -> Judged:
    """Make up a collection of a shape."""
    shop = make_shop(SHAPES[shape])
    queries, items = _embeddings(model, shop.queries, shop.items, saved)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "sessions.jsonl"), Path(folder, "items.jsonl")
        made = made_log(shop, SHAPES[shape], queries @ items.T)
        for file, lines in zip(files, made, strict=True):
            file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        sessions = _released(*files)
    place = {query: row for row, query in enumerate(shop.queries)}
    rows = np.array([place[query] for query in sessions.queries.to_pylist()])
    return Judged(sessions, shop.items, shop.grades[rows], queries[rows], items)


def _released(sessions: Path, items: Path) -> Sessions:
    with tempfile.TemporaryDirectory() as folder:
        released = Path(folder, "batch")
        release_batch(sessions, items, released)
        return open_batch(released).sessions


def _embeddings(
    model: "SentenceTransformer", queries: Sequence[str], items: Sequence[str], saved: Path | None
) -> tuple[Floats, Floats]:
    """Encode by the starting model, or read what was saved of the same texts."""
    told = json.dumps([queries, items, model.max_seq_length, str(model[0])])
    name = hashlib.blake2b(told.encode(), digest_size=12).hexdigest()
    file = None if saved is None else saved / f"{name}.npz"
    if file is not None and file.exists():
        found = np.load(file)
        return found["queries"], found["items"]
    made = (
        model.encode_query([*queries], normalize_embeddings=True),
        model.encode_document([*items], normalize_embeddings=True),
    )
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, queries=made[0], items=made[1])
    return made


def ndcg(similarities: Floats, gains: Floats) -> Floats:
    """Return NDCG@10 of each row, all items being ranked; NaN where nothing has a gain."""
    top = np.argsort(-similarities, axis=1, kind="stable")[:, :DEPTH]
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
    reached = (np.take_along_axis(gains, top, axis=1) * discounts).sum(axis=1)
    ideal = (-np.sort(-gains, axis=1)[:, :DEPTH] * discounts).sum(axis=1)
    return np.where(ideal > 0, reached / np.where(ideal > 0, ideal, 1), np.nan)


def folds_of(judged: Judged, folds: int, seed: int, groups: Path | None) -> list[Ints]:
    """Divide the queries into folds, those of one group together.

    Args:
        judged: The collection.
        folds: How many.
        seed: The seed of the division.
        groups: A file of lines of a query, a tab, and the name of its group; a query that it does
            not name is a group of its own.
    """
    queries = judged.sessions.queries.to_pylist()
    named = {}
    if groups is not None:
        with groups.open(encoding="utf-8", newline="") as lines:
            named = dict(csv.reader(lines, "excel-tab", quoting=csv.QUOTE_NONE))
    names = [named.get(query.strip(), f"\t{query}") for query in queries]
    _, group = np.unique(names, return_inverse=True)
    order = np.random.default_rng(seed).permutation(group.max() + 1)
    return [np.flatnonzero(np.isin(group, part)) for part in np.array_split(order, folds)]


def bootstrap(gains: Floats, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean over queries and its 95 % interval under resampling of queries."""
    known = gains[~np.isnan(gains)]
    random = np.random.default_rng(seed)
    means = known[random.integers(len(known), size=(_DRAWS, len(known)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(known.mean()), float(low), float(high)
