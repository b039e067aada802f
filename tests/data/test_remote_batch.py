from pathlib import Path

import fsspec
import pytest

from hooktune.data.release import open_batch
from hooktune.data.remote_batch import batch_at
from hooktune.errors import DataError


def test_a_batch_in_an_object_store_is_the_same_batch_here(make_batch):
    folder = make_batch()
    fsspec.filesystem("memory").put(str(folder), "/bucket/week", recursive=True)
    with batch_at("memory://bucket/week") as copied:
        assert open_batch(copied).batch_id == open_batch(folder).batch_id
    assert not copied.exists()


def test_a_folder_is_taken_as_it_is(tmp_path):
    with batch_at(str(tmp_path)) as folder:
        assert folder == Path(tmp_path)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("memory://bucket/nothing", "holds no file"),
        ("carrier-pigeon://bucket/week", "cannot be read: ValueError: Protocol not known"),
    ],
)
def test_an_address_that_leads_nowhere_is_told(address, problem):
    with pytest.raises(DataError, match=f"{address} {problem}"), batch_at(address):
        pass
