"""Which iteration or batch is meant by a name, a folder, or the beginning of an id."""

from pathlib import Path

import pytest
from tracked import METHOD, begin

from hooktune import open_batch
from hooktune.errors import DataError, RequestError
from hooktune.iteration.lookup import find_batch_id, find_iteration
from hooktune.tracking import Tracker


def test_an_iteration_is_found_by_its_name_or_the_beginning_of_its_batch_id(tracker: Tracker):
    first, second = begin(tracker, 0xA << 92), begin(tracker, 0xAB << 88)
    other = begin(tracker, 0xAB << 88, method="Other")
    known = [first, second, other]
    assert find_iteration(known, "a0") == first
    assert find_iteration(known, str(second.name)) == second
    for wanted in ("a", "ab", second.name.batch_id):
        with pytest.raises(RequestError, match="names several iterations"):
            find_iteration(known, wanted)
    for wanted in ("b", ""):
        with pytest.raises(RequestError, match="There is no iteration"):
            find_iteration(known, wanted)
    assert (first.name.method, other.name.method) == (METHOD, "Other")


def test_a_batch_is_found_by_its_folder_or_the_beginning_of_its_id(
    tracker: Tracker, make_batch, tmp_path: Path
):
    folder = make_batch()
    batch = open_batch(folder)
    begin(tracker, int(batch.batch_id, 16))
    for given in (batch, folder, str(folder), batch.batch_id, batch.batch_id[:6]):
        assert find_batch_id(tracker, given) == batch.batch_id
    with pytest.raises(RequestError, match="is no folder, and no method has run on"):
        find_batch_id(tracker, "missing")
    with pytest.raises(DataError, match="does not exist"):
        find_batch_id(tracker, tmp_path / "missing")
