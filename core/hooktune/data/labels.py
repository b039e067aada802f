"""The labels of sessions: what readers state becomes columns of a batch, and is counted."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pydantic_core import from_json

from hooktune.contract.long_form import MAX_NAME_LENGTH
from hooktune.contract.sessions import Sessions
from hooktune.data.manifest import LabelCounts
from hooktune.errors import DataError, RequestError, did_you_mean

MOST_VALUES: Final = 10_000
"""How many values a label may have; what has more tells single searches or users apart."""

_VALUES_TOLD: Final = 10


def checked_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of labels in their order, each once.

    Raises:
        RequestError: One of them cannot be the name of a label.
    """
    for name in names:
        if not name.strip() or len(name) > MAX_NAME_LENGTH:
            raise RequestError(
                f"{name!r:.60} is no name of a label. Name a field of the log, such as market."
            )
    return tuple(sorted(set(names)))


@dataclass
class LabelTexts:
    """Takes the labels of all sessions of a log, as the long form has them."""

    names: tuple[str, ...] = ()
    """Those that are wanted; nothing is taken where there are none."""
    fields: Collection[str] = ()
    """Fields that the log has in the place of those that are missing, for messages."""
    _blocks: list[pa.DictionaryArray] = field(default_factory=list)

    def add(self, texts: pa.StringArray | None, sessions: int) -> None:
        """Append those of a block of sessions; None where none of them states any."""
        if self.names:
            stated = pa.nulls(sessions, pa.string()) if texts is None else texts
            self._blocks.append(stated.dictionary_encode())

    def columns(self) -> pa.RecordBatch | None:
        """Return the labels of all sessions; None where none are wanted.

        Raises:
            DataError: A label is stated of no session or has too many values, or a reader gave
                something else than labels.
        """
        if not self.names:
            return None
        texts = joined_dictionaries(self._blocks)
        parsed = [_parsed(text) for text in texts.dictionary.to_pylist()]
        columns = [
            _with_texts(pa.array([each.get(name) for each in parsed], pa.string()), texts.indices)
            for name in self.names
        ]
        for name, column in zip(self.names, columns, strict=True):
            self._refuse_odd(name, column)
        return pa.record_batch(columns, names=self.names)

    def _refuse_odd(self, name: str, column: pa.DictionaryArray) -> None:
        values = column.dictionary
        if not len(values):
            known = f" {did_you_mean(name, self.fields)}" if self.fields else ""
            raise DataError(
                f"The log states no {name!r}, or its reader reads no labels.{known} "
                f"Name another --label, or the field that holds it by --column {name}=FIELD."
            )
        if len(values) > MOST_VALUES:
            raise DataError(
                f"{name!r} has {len(values):,} values in the log, such as {values[0].as_py()!r} "
                f"and {values[1].as_py()!r}, and a label has {MOST_VALUES:,} at most: it tells "
                f"kinds of searches apart, not single ones. Leave out --label {name}."
            )


def joined_dictionaries(blocks: Sequence[pa.DictionaryArray]) -> pa.DictionaryArray:
    """Join blocks of texts to one, whose dictionary holds each text once."""
    kind = pa.dictionary(pa.int32(), pa.string())
    joined = pa.chunked_array(blocks, kind).unify_dictionaries().combine_chunks()
    return _with_texts(joined.dictionary, joined.indices)


def labels_of_blocks(blocks: Mapping[str, Sequence[pa.DictionaryArray]]) -> pa.RecordBatch | None:
    """Return labels of which each was read in blocks; None where there are none."""
    if not blocks:
        return None
    columns = [joined_dictionaries(some) for some in blocks.values()]
    return pa.record_batch(columns, names=[*blocks])


def joined_labels(every: Sequence[Sessions]) -> pa.RecordBatch | None:
    """Return the labels that all of several batches have, of their sessions one after the other."""
    tables = [each.labels for each in every if each.labels is not None]
    if len(tables) < len(every):
        return None
    common = sorted(set.intersection(*(set(table.schema.names) for table in tables)))
    return labels_of_blocks({name: [table[name] for table in tables] for name in common})


def label_counts(sessions: Sessions) -> tuple[LabelCounts, ...]:
    """Tell of each label how many values it has, and which of them are the most frequent."""
    if sessions.labels is None:
        return ()
    return tuple(_counts(name, sessions.labels[name]) for name in sessions.labels.schema.names)


def value_counts(column: pa.DictionaryArray) -> dict[str, int]:
    """Return how many sessions state each value of a label, the most frequent ones first."""
    places = column.indices.drop_null().to_numpy()
    numbers = np.bincount(places, minlength=len(column.dictionary)).tolist()
    found = zip(column.dictionary.to_pylist(), numbers, strict=True)
    stated = ((value, number) for value, number in found if number)
    return dict(sorted(stated, key=lambda each: (-each[1], each[0])))


def _counts(name: str, column: pa.DictionaryArray) -> LabelCounts:
    stated = value_counts(column)
    return LabelCounts(
        name=name,
        values=len(stated),
        sessions=sum(stated.values()),
        most_frequent=tuple(stated.items())[:_VALUES_TOLD],
    )


def _with_texts(texts: pa.StringArray, places: pa.Array) -> pa.DictionaryArray:
    """Return a column of texts by their places, which may be null, with each text held once."""
    distinct = texts.dictionary_encode()
    return pa.DictionaryArray.from_arrays(
        distinct.indices.take(places).cast(pa.int32()), distinct.dictionary
    )


def _parsed(text: str) -> dict[str, str]:
    """Return the labels in lines of JSON, of each of which the first that is stated counts."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        try:
            stated: Any = from_json(line)
        except ValueError:
            stated = None
        if not isinstance(stated, dict) or not all(map(_is_label, stated.values())):
            raise DataError(
                f"The reader of the log gave {line!r:.100} as the labels of a search. They are a "
                'JSON object of texts on one line, such as {"market": "DE"}.'
            )
        found = stated | found
    return found


def _is_label(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_LENGTH


def is_possible(labels: pa.RecordBatch | None, sessions: int) -> bool:
    """Tell whether a release could have written these labels of so many sessions."""
    if labels is None:
        return True
    texts = [text for name in labels.schema.names for text in labels[name].dictionary.to_pylist()]
    names = labels.schema.names
    return (
        len(labels) == sessions
        and names == sorted(set(names))
        and all(map(_is_label, (*names, *texts)))
    )
