"""Texts as the numbers that a model reads, each text being tokenised once."""

import hashlib
from collections.abc import Sized
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from hooktune.contract.encoding import Task
from hooktune.contract.sessions import Ints
from hooktune.training.images import as_inputs, image_settings
from hooktune.training.shelf import Shelf

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_OFFSETS: Final = "offsets of rows"
_TEXTS_AT_ONCE: Final = 1_024
_MASK: Final = "attention_mask"
_SAMPLE: Final = ("", "one text is longer than the other")
_PROMPT_NAMES: dict[Task, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}


@dataclass(frozen=True, eq=False)
class Tokens:
    """Texts as rows of tokens of different lengths, which are padded when they are used."""

    columns: dict[str, npt.NDArray[np.int32]]
    """The values of all rows, one row after the other, for each input of the model."""
    offsets: Ints
    """Row i is what stands at `offsets[i]` to `offsets[i + 1]`, the latter not included."""
    padding: dict[str, int]
    """For each input, what fills up the shorter rows."""
    pads_left: bool
    constants: dict[str, Any]
    """What the model is given beside these inputs, the same for all texts."""

    def digest(self) -> str:
        """Return what tells these tokens from others."""
        digest = hashlib.blake2b(self.offsets.tobytes(), digest_size=8)
        for name, values in sorted(self.columns.items()):
            digest.update(name.encode())
            digest.update(values.tobytes())
        return digest.hexdigest()

    @cached_property
    def lengths(self) -> Ints:
        """How many tokens each row has."""
        return np.diff(self.offsets)

    def begin(self, other: "Tokens") -> bool:
        """Tell whether the first rows are those of another."""
        end = other.offsets[-1]
        return (
            np.array_equal(self.offsets[: len(other.offsets)], other.offsets)
            and self.columns.keys() == other.columns.keys()
            and all(np.array_equal(self.columns[n][:end], v) for n, v in other.columns.items())
            and self.constants == other.constants
        )

    def places(self, rows: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Return where the tokens of some rows stand, as a padded matrix, and which are no padding.

        A padding's place is that of its row's first token.
        """
        lengths, starts = self.lengths[rows], self.offsets[rows]
        width = max(int(lengths.max(initial=0)), 1)
        within = np.arange(width) - (width - lengths[:, None] if self.pads_left else 0)
        is_token = (within >= 0) & (within < lengths[:, None])
        return starts[:, None] + np.where(is_token, within, 0), is_token

    def of_rows(self, name: str, rows: Ints) -> Ints:
        """Return one input's values of some rows, and what fills them up, in any order."""
        places, is_token = self.places(rows)
        return np.append(self.columns[name][places[is_token]], self.padding[name])

    def padded(self, rows: Ints) -> dict[str, Any]:
        """Return some rows as a model takes them: tensors with a row for each, on the CPU."""
        places, is_token = self.places(rows)
        features: dict[str, Any] = dict(self.constants)
        for name, values in self.columns.items():
            filled = np.full(places.shape, self.padding[name], dtype=np.int64)
            filled[is_token] = values[places[is_token]]
            features[name] = torch.from_numpy(filled)
        features[_MASK] = torch.from_numpy(is_token.astype(np.int64))
        return features


def shared_tokens(
    shelf: Shelf,
    model: "SentenceTransformer",
    texts: pa.LargeStringArray,
    task: Task,
) -> Tokens | None:
    """Tokenise texts as `tokenise` does, in one of the workers that share a shelf.

    Args:
        shelf: Where the tokens are kept.
        model: The model.
        texts: The texts.
        task: By which prompt they are read.
    """
    empty = tokenise(model, [], task)
    if empty is None:
        return None

    def make() -> dict[str, npt.NDArray[Any]]:
        made = tokenise(model, texts.to_pylist(), task)
        return {} if made is None else {**made.columns, _OFFSETS: made.offsets}

    columns = {**shelf.arrays(f"{task}-tokens-{_digest(texts)}", make)}
    offsets = columns.pop(_OFFSETS, None)
    return None if offsets is None else replace(empty, columns=columns, offsets=offsets)


def _digest(texts: pa.LargeStringArray) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for buffer in texts.buffers():
        digest.update(buffer or b"")
    return digest.hexdigest()


def tokenise(model: "SentenceTransformer", texts: list[str], task: Task) -> Tokens | None:
    """Tokenise texts as `encode_query` or `encode_document` does.

    Returns:
        The tokens, or None where the model reads its texts in another form than as rows of tokens.
    """
    # One text is longer than the other, so that what fills up rows, and where, can be seen.
    sample = encoded_texts(model, [*_SAMPLE], task)
    if not _are_rows(sample, len(_SAMPLE)):
        return None
    is_padding = sample[_MASK] == 0
    columns: dict[str, list[npt.NDArray[np.int32]]] = {name: [] for name in _tensors(sample)}
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        part = texts[start : start + _TEXTS_AT_ONCE]
        features = encoded_texts(model, part, task)
        if not _are_rows(features, len(part)):
            return None
        is_token = features[_MASK].bool()
        for name, values in columns.items():
            kept = is_token.sum(dim=1) if name == _MASK else features[name][is_token]
            values.append(kept.numpy().astype(np.int32))
    empty = [np.zeros(0, dtype=np.int32)]
    joined = {name: np.concatenate(values or empty) for name, values in columns.items()}
    lengths = joined.pop(_MASK)
    return Tokens(
        joined,
        np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        # A model that cuts all texts to one length pads none.
        {name: next(iter(sample[name][is_padding].tolist()), 0) for name in joined},
        bool(is_padding[:, 0].any()),
        {name: value for name, value in sample.items() if name not in columns},
    )


def encoded_texts(model: "SentenceTransformer", texts: list[str], task: Task) -> dict[str, Any]:
    """Return texts, or images, in the form that a model takes, whatever that is."""
    return model.preprocess(as_inputs(model, texts), prompt(model, task), task=task)


def _tensors(features: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in features.items() if torch.is_tensor(value)}


def _are_rows(features: dict[str, Any], count: int) -> bool:
    """Tell whether these are the inputs of a text model, with every text in a row of its own."""
    tensors = _tensors(features)
    if not {"input_ids", _MASK} <= tensors.keys() <= {"input_ids", _MASK, "token_type_ids"}:
        return False
    shape = tensors["input_ids"].shape
    return (
        len(shape) == 2
        and shape[0] == count
        and all(tensor.shape == shape for tensor in tensors.values())
        and all(
            isinstance(value, str | int | float | None)
            for name, value in features.items()
            if name not in tensors
        )
    )


def prompt(model: "SentenceTransformer", task: Task) -> str | None:
    """Return what `encode_query` or `encode_document` puts before a text."""
    for name in (*_PROMPT_NAMES[task], model.default_prompt_name):
        if name in model.prompts:
            return model.prompts[name]
    return None


def reading(model: "SentenceTransformer") -> tuple[object, ...]:
    """Return what can be told of how a model reads texts and images without trying it."""
    tokenizer = getattr(model[0], "tokenizer", None)
    size = len(tokenizer) if isinstance(tokenizer, Sized) else None
    prompts = prompt(model, "query"), prompt(model, "document")
    most = getattr(model[0], "max_parts", None)
    return size, model.max_seq_length, most, prompts, image_settings(model)
