"""The embeddings of a batch's texts: each is tokenised once, and encoded once for each purpose."""

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from sentence_transformers.util import batch_to_device
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from hooktune.contract.encoding import Task
from hooktune.contract.images import are_images
from hooktune.contract.sessions import Ints, Mask
from hooktune.processes import giving_back_memory
from hooktune.progress import phase, track
from hooktune.training.held import HeldTensors
from hooktune.training.images import ImageInputs, check_reads_images, image_tokens
from hooktune.training.kept_embeddings import Keep, KeptEmbeddings, encode_once
from hooktune.training.layer_cache import LayerCache, SplitModel, same_lowest_layers, split_model
from hooktune.training.precision import bfloat16_matrices
from hooktune.training.process_group import ALONE, ProcessGroup
from hooktune.training.shelf import Shelf
from hooktune.training.token_table import TokenTable, trained_token_embeddings
from hooktune.training.tokens import Tokens, encoded_texts, reading, shared_tokens, tokenise

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

# So many tokens of a step keep what the backward pass needs as it is, in MiniLM's six layers 100 kB
# a token in float32. Of a larger step it is made smaller on a CPU, by half and more, which takes a
# tenth to a fifth of the time; and beyond the second number it is computed again, so that what a
# step costs then is time rather than memory.
_TOKENS_PLAIN: Final = 4_096
_TOKENS_HELD: Final = 16_384
# What a layer makes of so many tokens stays in a processor's own cache.
_TOKENS_AT_ONCE: Final = {"cpu": 512}
_TOKENS_AT_ONCE_ELSEWHERE: Final = 65_536
_TEXTS_COMPARED: Final = 64
_TOKENISING: Final[dict[Task, str]] = {
    "query": "tokenising queries",
    "document": "tokenising items",
}


@dataclass(frozen=True, eq=False)
class _Column:
    """The texts of one of a batch's columns, as one kind of model reads them."""

    texts: pa.LargeStringArray
    """The column itself, held so that no other one can get its identity."""
    distinct: pa.LargeStringArray
    row_of: Ints
    """For each entry of the column, the row of its text among the distinct ones."""
    lengths: Ints
    """For each distinct text, its length: in tokens where it has tokens, else in characters."""
    is_image: Mask
    """For each distinct text, whether it is an image."""
    images: ImageInputs
    tokens: Tokens | None
    """None where some are images, or the model reads texts in another form."""
    cache: LayerCache | None


class TextEncoder:
    """Keeps what models with the same tokens, and the same lowest layers, make of a batch's texts.

    One serves the starting model of an iteration, all models that are tuned from it, and all their
    evaluations.

    Args:
        model: The model that the others are tuned from.
        frozen_layers: How many of its lowest layers stay as they are, so that their results are
            kept. A model in which they differ is served without them.
        group: The processes that encode together, each its share of the texts.
        shelf: What workers of this machine share that have the same starting model, if they do.
        kept: What the model, which stays as it is, has made of texts before; None to encode all.
    """

    def __init__(
        self,
        model: "SentenceTransformer",
        frozen_layers: int = 0,
        group: ProcessGroup = ALONE,
        shelf: Shelf | None = None,
        kept: KeptEmbeddings | None = None,
    ) -> None:
        self.model = model
        self.kept = kept
        self.group = group
        self.depth = frozen_layers
        self.shelf = shelf
        self._parts = split_model(model, frozen_layers)
        self._columns: dict[tuple[int, Task], _Column] = {}

    @property
    def kept_width(self) -> int:
        """How many numbers are kept of each token for the frozen layers; 0 where none are."""
        return 0 if self._parts is None else self._parts.width

    def reader(
        self,
        model: "SentenceTransformer",
        frozen_layers: int | None = None,
        *,
        in_bfloat16: bool = False,
    ) -> "TextReader":
        """See `hooktune.contract.encoding.Encoder`."""
        if not self._has_tokens_of(model):
            apart = TextEncoder(model, group=self.group)
            return apart.reader(model, in_bfloat16=in_bfloat16)
        stay = frozen_layers is None or frozen_layers >= self.depth
        is_shared = (
            self._parts is not None and stay and same_lowest_layers(model, self.model, self.depth)
        )
        parts = split_model(model, self.depth) if is_shared else None
        return TextReader(self, model, parts, in_bfloat16)

    def column(self, texts: pa.LargeStringArray, task: Task) -> _Column:
        """Return a column of texts, which is tokenised at its first use."""
        key = (id(texts), task)
        if key not in self._columns:
            encoded = pc.dictionary_encode(texts)
            distinct, row_of = encoded.dictionary, encoded.indices.to_numpy()
            check_reads_images(self.model, distinct)
            is_image = are_images(distinct)
            with phase(_TOKENISING[task], len(distinct)):
                tokens = None if is_image.any() else self._tokenise(distinct, task)
            lengths = pc.utf8_length(distinct).to_numpy() if tokens is None else tokens.lengths
            if is_image.any():
                lengths = np.where(is_image, image_tokens(self.model), lengths)
            cache = None if tokens is None else self._cache(tokens, task)
            self._columns[key] = _Column(
                texts, distinct, row_of, lengths, is_image, ImageInputs(), tokens, cache
            )
        return self._columns[key]

    def _tokenise(self, texts: pa.LargeStringArray, task: Task) -> Tokens | None:
        if self.shelf is None:
            return tokenise(self.model, texts.to_pylist(), task)
        return shared_tokens(self.shelf, self.model, texts, task)

    def _cache(self, tokens: Tokens, task: Task) -> LayerCache | None:
        if self._parts is None:
            return None
        try:
            if self.shelf is not None and self.model.device.type == "cpu":
                name = f"{task}-states-{self.depth}-{tokens.digest()}"
                return LayerCache.shared(tokens, self._parts.width, self.shelf, name)
            return LayerCache(tokens, self._parts.width, self.model.device)
        except OSError as error:
            logger.warning(
                "the results of the frozen layers cannot be kept, which makes training slower: %s",
                error,
            )
            return None

    def _has_tokens_of(self, model: "SentenceTransformer") -> bool:
        """Tell whether another model reads texts as the first one does."""
        if model is self.model:
            return True
        if type(model[0]) is not type(self.model[0]) or reading(model) != reading(self.model):
            return False
        for (_, task), column in self._columns.items():
            if column.tokens is None:
                continue
            texts = column.distinct.slice(0, _TEXTS_COMPARED).to_pylist()
            tokens = tokenise(model, texts, task)
            if tokens is None or not column.tokens.begin(tokens):
                return False
        return True


@dataclass(frozen=True, eq=False)
class TextReader:
    """A model that reads a batch's texts: what `TextEncoder.reader` makes."""

    encoder: TextEncoder
    model: "SentenceTransformer"
    parts: SplitModel | None
    """The model in two parts, where the results of the lower one are kept."""
    in_bfloat16: bool = False
    """Whether matrices are multiplied in bfloat16; what is kept is computed in float32 always."""
    held: HeldTensors = field(default_factory=HeldTensors)

    def embed(
        self,
        texts: pa.LargeStringArray,
        index: Ints,
        task: Task,
        learned: Mask | None = None,
        title: str | None = None,
    ) -> tuple[Ints, torch.Tensor]:
        """See `hooktune.contract.encoding.Reader`."""
        column = self.encoder.column(texts, task)
        rows, place_of = np.unique(column.row_of[index], return_inverse=True)
        with_gradient = np.zeros(len(rows), dtype=bool)
        if learned is not None:
            with_gradient[place_of[learned]] = True
        kept = None if learned is not None or self.in_bfloat16 else self.encoder.kept
        if kept is not None and self.model is self.encoder.model:

            def encode(missing: Ints, keep: Keep) -> tuple[Ints, torch.Tensor]:
                no_gradient = np.zeros(len(missing), dtype=bool)
                return self._embed_all(column, missing, task, no_gradient, title, keep)

            group, device = self.encoder.group, self.model.device
            row_of, embeddings = encode_once(
                kept, group, column.distinct, rows, task, device, encode
            )
        else:
            row_of, embeddings = self._embed_all(column, rows, task, with_gradient, title)
        return row_of[place_of], embeddings

    def _embed_all(
        self,
        column: _Column,
        rows: Ints,
        task: Task,
        with_gradient: Mask,
        title: str | None,
        keep: Keep = lambda _places, _embeddings: None,
    ) -> tuple[Ints, torch.Tensor]:
        """Encode distinct texts, and return for each the row of its embedding."""
        lengths = column.lengths[rows]
        kind = with_gradient + 2 * column.is_image[rows]
        order = np.lexsort((lengths, kind))
        embeddings, tokens = [], 0
        chunks = [*self._chunks(order, kind, lengths)]
        group = self.encoder.group
        shares = [chunks[rank :: group.size] for rank in range(group.size)]
        own = shares[group.rank]
        learned = sum(_padded(lengths, chunk) for chunk in own if with_gradient[chunk[0]])
        is_small, most = learned <= self._tokens(_TOKENS_PLAIN), self._tokens(_TOKENS_HELD)
        table = self._token_table(column, rows[with_gradient])
        # One process reports for all.
        told = title if group.leads else None
        work = own if told is None else track(own, [*map(len, own)], told)
        for chunk in giving_back_memory(work):
            encode = partial(
                self._encode, column, rows[chunk], task, table if with_gradient[chunk[0]] else None
            )
            if not with_gradient[chunk[0]]:
                with torch.no_grad():
                    embeddings.append(encode())
                keep(chunk, embeddings[-1])
                continue
            tokens += _padded(lengths, chunk)
            with nullcontext() if is_small else self.held.holding():
                encoded = checkpoint(encode, use_reentrant=False) if tokens > most else encode()
            embeddings.append(encoded)
        counts = [sum(map(len, share)) for share in shares]
        joined = group.gather_rows(torch.cat(embeddings) if embeddings else None, counts)
        row_of = np.empty(len(order), dtype=np.int64)
        row_of[np.concatenate([chunk for share in shares for chunk in share])] = np.arange(
            len(order)
        )
        return row_of, joined

    def _token_table(self, column: _Column, rows: Ints) -> TokenTable | None:
        words = trained_token_embeddings(self.model)
        if self.parts is not None or column.tokens is None or words is None or not len(rows):
            return None
        return TokenTable(words, column.tokens.of_rows("input_ids", rows))

    def _encode(
        self, column: _Column, rows: Ints, task: Task, table: TokenTable | None
    ) -> torch.Tensor:
        model, device = self.model, self.model.device
        if column.tokens is None:
            features = self._read(column, rows, task)
        elif self.parts is None or column.cache is None:
            features = column.tokens.padded(rows)
        else:
            model = self.parts.upper
            features = column.cache.features(self.parts, rows)
        features = batch_to_device(features, device)
        precision = bfloat16_matrices(device) if self.in_bfloat16 else nullcontext()
        with precision, table.used() if table else nullcontext():
            embeddings = model(features, task=task)["sentence_embedding"]
        return normalize(embeddings[..., : model.truncate_dim].float(), dim=1)

    def _read(self, column: _Column, rows: Ints, task: Task) -> dict[str, Any]:
        """Return texts, or images, as the model takes them, where they are not rows of tokens."""

        def read(some: Ints) -> dict[str, Any]:
            texts = column.distinct.take(pa.array(some)).to_pylist()
            return encoded_texts(self.model, texts, task)

        return column.images.features(rows, read) if column.is_image[rows[0]] else read(rows)

    def _chunks(self, order: Ints, kind: Ints, lengths: Ints) -> Iterator[Ints]:
        """Cut texts, by kind in order of length, into chunks which are padded to one length."""
        most = _TOKENS_AT_ONCE.get(self.model.device.type, _TOKENS_AT_ONCE_ELSEWHERE)
        if self.in_bfloat16 and self.model.device.type == "cpu":
            most *= 2  # its numbers take half as much of the cache
        if (processes := self.encoder.group.size) > 1:
            # So that each has a share of a step whose texts would fit into one chunk.
            most = min(most, -(-int(lengths.sum()) // processes))
        start = 0
        for end in range(1, len(order) + 1):
            if (
                end == len(order)
                or kind[order[end]] != kind[order[start]]
                or (end - start + 1) * lengths[order[end]] > most
            ):
                yield order[start:end]
                start = end

    def _tokens(self, count: int) -> float:
        """Return how many tokens hold as much as so many do with no layer frozen."""
        if self.parts is None:
            return count
        return count * self.parts.layers / max(self.parts.layers - self.encoder.depth, 1)


def _padded(lengths: Ints, chunk: Ints) -> int:
    """Return how many tokens a chunk has, whose last text is its longest."""
    return len(chunk) * int(lengths[chunk[-1]])
