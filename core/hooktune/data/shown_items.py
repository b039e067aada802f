"""The items that the results of a log show, numbered by their names while it is read."""

from array import array
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.sessions import Ints
from hooktune.data.parquet import append_numbers

_NAMES_AT_ONCE: Final = 1 << 21


def _no_names() -> pa.LargeStringArray:
    return pa.array([], pa.large_string())


@dataclass
class ShownItems:
    """Takes the items of the results of all sessions, a block at a time.

    Names are looked up among those of the whole log some blocks at once: what that takes to begin
    with grows with the log's items, and was as long as parsing a block.
    """

    _names: pa.LargeStringArray = field(default_factory=_no_names)
    _index: "array[int]" = field(default_factory=lambda: array("i"))
    _waiting: list[pa.DictionaryArray] = field(default_factory=list)
    """The items of the results that have no entry in `_index` yet, block by block."""
    _waiting_names: int = 0

    def add(self, shown: Ints, names: pa.StringArray) -> None:
        """Append the items of results.

        Args:
            shown: For each result, the place of its item in `names`.
            names: The names of items; those that no result shows are taken too.
        """
        places = pa.array(shown, pa.int32())
        self._waiting.append(pa.DictionaryArray.from_arrays(places, names.cast(pa.large_string())))
        self._waiting_names += len(names)
        if self._waiting_names > _NAMES_AT_ONCE:
            self._number()

    @property
    def names(self) -> pa.LargeStringArray:
        """The distinct names of all items."""
        self._number()
        return self._names

    @property
    def index(self) -> Ints:
        """For each result, the place of its item in `names`."""
        self._number()
        return np.asarray(self._index)

    def places(self, names: pa.LargeStringArray) -> Ints:
        """Return the places of distinct names in `names`, to which new ones are added."""
        found = pc.index_in(names, value_set=self.names)
        places: Ints = found.fill_null(-1).to_numpy().copy()
        is_new = places < 0
        places[is_new] = len(self._names) + np.arange(is_new.sum())
        self._names = pa.concat_arrays([self._names, names.filter(pa.array(is_new))])
        return places

    def _number(self) -> None:
        if self._waiting:
            known = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), self._names)
            numbered = pa.chunked_array([known, *self._waiting]).unify_dictionaries()
            for block in numbered.chunks:
                append_numbers(self._index, block.indices.to_numpy())
            self._names = numbered.chunk(0).dictionary
            self._waiting.clear()
            self._waiting_names = 0
