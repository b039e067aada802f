"""Items of results are numbered by their names, however many blocks of a log wait for that."""

import numpy as np
import pyarrow as pa
import pytest

from hooktune.data import shown_items
from hooktune.data.shown_items import ShownItems


@pytest.mark.parametrize("at_once", [0, 3, 100])
def test_a_name_has_one_number_in_all_blocks(monkeypatch, at_once):
    monkeypatch.setattr(shown_items, "_NAMES_AT_ONCE", at_once)
    items = ShownItems()
    items.add(np.array([0, 1, 0]), pa.array(["sock", "hat"]))
    items.add(np.array([1, 0]), pa.array(["coat", "sock"]))
    items.add(np.array([0]), pa.array(["hat", "seen by nobody"]))
    assert items.names.to_pylist() == ["sock", "hat", "coat", "seen by nobody"]
    assert items.index.tolist() == [0, 1, 0, 0, 2, 1]


def test_names_can_be_looked_up_and_added():
    items = ShownItems()
    items.add(np.array([0]), pa.array(["sock"]))
    assert items.places(pa.array(["hat", "sock"], pa.large_string())).tolist() == [1, 0]
    assert items.names.to_pylist() == ["sock", "hat"]
