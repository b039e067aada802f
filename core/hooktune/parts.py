"""Long texts read in parts, whose embeddings are joined to one by their maximum.

A model cuts a text after `max_seq_length` tokens. One in parts reads what comes after as well, and
still has one embedding for each text, so that neither indexes nor anything of hooktune's need know.

Stored models name the classes of this module by its path: neither they nor it may be renamed.
"""

import copy
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from sentence_transformers.base.modules import Transformer
from sentence_transformers.base.modules.module import Module
from sentence_transformers.sentence_transformer.modules import Pooling
from torch.nn.utils.rnn import pad_sequence

from hooktune.errors import RequestError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_Features = dict[str, Any]

_PARTS: Final = "parts"
_MASK: Final = "attention_mask"
_WHOLE: Final[Any] = {"text": {"truncation": False, "verbose": False}}
_LONGEST_PART: Final = 1_000_000
"""A tokenizer that knows no limit states one above this."""


def in_parts(model: "SentenceTransformer", max_parts: int = 16) -> "SentenceTransformer":
    """Return a model that reads long documents in parts, where the given one cuts them.

    A part has `max_seq_length` tokens, with the prompt and the special tokens that each text has;
    the last one ends where the text ends, and so overlaps with the one before. What the pooling
    makes of the parts is joined by their maximum, see `MaximumOfParts`; what stands behind the
    pooling, such as `Dense` and `Normalize`, is given one vector for each text as before. Queries
    (`task="query"`) are cut as before, and a text that fits is read as before.

    Args:
        model: A model that reads texts by a `Transformer` and a `Pooling`. The two share weights
            and tokenizer.
        max_parts: How many parts of a text are read at most, from its beginning. It bounds the
            time and memory that a single item may take.

    Raises:
        RequestError: The model is of another make, sets no limit to texts, or is in parts already.
    """
    if max_parts < 1:
        raise RequestError(f"a text has at least one part, so max_parts cannot be {max_parts}")
    if problem := _problem_of(model):
        raise RequestError(f"This model cannot read long items in parts, as {problem}.")
    reader: Any = copy.copy(model[0])
    reader.__class__ = TransformerInParts
    reader.max_parts = max_parts
    made = copy.copy(model)
    made._modules = {}
    for name, module in model._modules.items():
        made._modules[name] = module if made._modules else reader
        if isinstance(module, Pooling):
            made._modules[_PARTS] = MaximumOfParts()  # type: ignore[no-untyped-call]
    made.model_card_data = copy.copy(model.model_card_data)
    made.model_card_data.register_model(made)
    return made


def load_sentence_transformer(name: str, **options: Any) -> "SentenceTransformer":
    """Load a model whose modules are sentence-transformers' own, or of this module.

    sentence-transformers takes every class that is not its own for foreign code, and refuses it.
    Those of hooktune are handed over, so that no code that a model's files name is ever trusted.

    Args:
        name: A folder or hub name.
        options: As `SentenceTransformer` takes them.
    """
    from sentence_transformers import SentenceTransformer

    own = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in OWN_MODULES}
    return SentenceTransformer._load_with_module_classes(name, own, **options)


class TransformerInParts(Transformer):
    """Reads a long text as several rows of tokens, of `max_seq_length` each.

    `preprocess` gives a row for each text, with its parts one after the other, so that whoever
    deals with rows, or counts them, finds a text in each; `forward` makes rows of the parts.

    Args:
        model_name_or_path: As for `Transformer`.
        max_parts: How many parts of a text are read at most.
        options: As for `Transformer`.
    """

    config_keys = [*Transformer.config_keys, "max_parts"]  # noqa: RUF012 (as the class above has it)
    tokenizer: Any

    def __init__(self, model_name_or_path: str, *, max_parts: int, **options: Any) -> None:
        super().__init__(model_name_or_path, **options)
        self.max_parts = max_parts

    def preprocess(
        self,
        inputs: Any,
        prompt: str | None = None,
        processing_kwargs: Any = None,
        **options: Any,
    ) -> _Features:
        """See `Transformer.preprocess`; whoever says how a text is to be cut has it cut so."""
        if processing_kwargs or options.get("max_length") or options.get("task") == "query":
            return super().preprocess(inputs, prompt, processing_kwargs, **options)
        features = super().preprocess(inputs, prompt, processing_kwargs=_WHOLE, **options)
        if not features or features[_MASK].shape[1] <= self._length:
            return features
        head, tail = self._special_tokens()
        head = features.get("prompt_length") or head
        if head + tail >= self._length:  # a prompt that leaves no room
            return super().preprocess(inputs, prompt, **options)
        mask = features[_MASK]
        starts, lengths = mask.argmax(dim=1).tolist(), mask.sum(dim=1).tolist()
        places = [
            start + self._places(length, head, tail)
            for start, length in zip(starts, lengths, strict=True)
        ]
        padding = {
            "input_ids": self.tokenizer.pad_token_id or 0,
            "token_type_ids": self.tokenizer.pad_token_type_id,
        }
        for name in _tensors_of_rows(features):
            rows = [values[chosen] for values, chosen in zip(features[name], places, strict=True)]
            features[name] = pad_sequence(
                rows,
                batch_first=True,
                padding_value=padding.get(name, 0),
                padding_side=self.tokenizer.padding_side,
            )
        return features

    def forward(self, features: _Features, **options: Any) -> _Features:
        """See `Transformer.forward`; rows of what is returned are parts, where a text has some."""
        mask = features[_MASK]
        if mask.shape[1] <= self._length:
            return super().forward(features, **options)
        # Texts x places for parts; an empty text has one part too.
        is_used = mask.unflatten(1, (-1, self._length)).any(dim=2)
        is_used[:, 0] |= ~is_used.any(dim=1)
        rows = {
            name: features[name].unflatten(1, (-1, self._length))[is_used]
            for name in _tensors_of_rows(features)
        }
        return {**super().forward({**features, **rows}, **options), _PARTS: is_used}

    @property
    def _length(self) -> int:
        """How many tokens a part has."""
        return cast("int", self.max_seq_length)

    def _special_tokens(self) -> tuple[int, int]:
        """Return how many tokens are put before a text, and behind it."""
        is_special = self.tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
        return is_special.index(0), is_special[::-1].index(0)

    def _places(self, length: int, head: int, tail: int) -> torch.Tensor:
        """Return where in a row of tokens those of its parts stand, one part after the other."""
        if length <= self._length:
            return torch.arange(length)
        room, end = self._length - head - tail, length - tail
        count = min(-(-(end - head) // room), self.max_parts)
        starts = [min(head + number * room, end - room) for number in range(count)]
        before, behind = torch.arange(head), torch.arange(end, length)
        parts = [[before, torch.arange(start, start + room), behind] for start in starts]
        return torch.cat([piece for part in parts for piece in part])

    def _should_flatten_inputs(self, *_args: Any, **_options: Any) -> bool:
        return False  # what is flattened has no rows


class MaximumOfParts(Module):
    """Joins the embeddings of a text's parts: each dimension is that of the part farthest from 0.

    An embedding says as much by a number below 0 as by one above, and the greatest number of
    several parts is the greater the more they are, whatever they say.

    All else that belongs to parts is left out, as whoever reads on expects a row for each text.
    """

    def forward(self, features: _Features, **_options: Any) -> _Features:
        """Return features with a `sentence_embedding` for each text."""
        if _PARTS not in features:
            return features
        is_used, embeddings = features[_PARTS], features["sentence_embedding"]
        parts = embeddings.new_zeros((*is_used.shape, embeddings.shape[1]))
        parts[is_used] = embeddings
        joined = parts.gather(1, parts.abs().argmax(dim=1, keepdim=True)).squeeze(1)
        of_all = {name: value for name, value in features.items() if not torch.is_tensor(value)}
        return {**of_all, "sentence_embedding": joined}

    def save(self, output_path: str, *_args: Any, **_options: Any) -> None:
        """Write that there is nothing to say of it, as an empty folder would not be stored."""
        self.save_config(output_path)


OWN_MODULES: Final = (TransformerInParts, MaximumOfParts)
"""The only modules of a model that hooktune itself brings."""


def _tensors_of_rows(features: _Features) -> list[str]:
    """Return the names of what has a value for each token of each row."""
    shape = features[_MASK].shape
    return [
        name
        for name, value in features.items()
        if torch.is_tensor(value) and value.shape[:2] == shape
    ]


def _problem_of(model: "SentenceTransformer") -> str | None:
    """Say why a model cannot read in parts, or return None."""
    reader = model[0]
    if isinstance(reader, TransformerInParts):
        return "it does so already"
    # What is derived from a Transformer reads in a way of its own.
    if not isinstance(reader, Transformer) or type(reader) is not Transformer:
        return f"its texts are read by a {type(reader).__name__}, not by a Transformer"
    if reader.modalities != ["text"]:
        kinds = ", ".join(map(str, reader.modalities))
        return f"it reads {kinds}, where only what reads plain texts knows of parts"
    if reader.max_seq_length is None or reader.max_seq_length > _LONGEST_PART:
        return "it cuts no text; set its max_seq_length to the length of a part, in tokens"
    if sum(isinstance(module, Pooling) for module in model) != 1:
        return "it makes a text's embedding of its tokens' by something else than one Pooling"
    return None
