import numpy as np
import pyarrow as pa
import pytest
import torch

from hooktune.processes import SHARED_VARIABLE
from hooktune.testing import tiny_model
from hooktune.training import encoder as encoders
from hooktune.training.encoder import TextEncoder
from hooktune.training.layer_cache import SplitModel
from hooktune.training.shelf import Shelf

TEXTS = pa.array([f"text {number} of a few words" for number in range(300)], pa.large_string())


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setenv(SHARED_VARIABLE, str(tmp_path))
    return Shelf.given(lambda: "model")


def embed(encoder):
    rows, vectors = encoder.reader(encoder.model).embed(TEXTS, np.arange(len(TEXTS)), "document")
    return vectors[torch.from_numpy(rows)]


def test_arrays_are_made_once_and_read_by_all(shelf):
    made = []

    def make():
        made.append(True)
        return {"a": np.arange(300_000), "none": np.zeros(0)}

    one, two = shelf.arrays("numbers", make), shelf.arrays("numbers", make)
    assert made == [True]
    assert one.keys() == two.keys() == {"a", "none"}
    np.testing.assert_array_equal(two["a"], np.arange(300_000))
    assert isinstance(two["a"], np.memmap)


def test_there_is_no_shelf_but_for_workers_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.delenv(SHARED_VARIABLE, raising=False)
    assert Shelf.given(lambda: "model") is None
    monkeypatch.setenv(SHARED_VARIABLE, str(tmp_path / "elsewhere"))
    assert Shelf.given(lambda: "model") is None


def test_arrays_that_the_disk_cannot_hold_are_made_by_each(shelf, monkeypatch, caplog):
    monkeypatch.setattr(np, "save", lambda *given: (_ for _ in ()).throw(OSError("disk full")))
    assert shelf.arrays("numbers", lambda: {"a": np.ones(2)})["a"].sum() == 2
    assert "cannot be shared: disk full" in caplog.text


def test_another_worker_tokenises_nothing_and_runs_no_frozen_layer(shelf, monkeypatch):
    model = tiny_model()
    alone = embed(TextEncoder(model, 1))
    assert torch.equal(embed(TextEncoder(model, 1, shelf=shelf)), alone)

    def never(*_):
        raise AssertionError("computed twice")

    # Whether a model can be split is tried by its layers, so that this comes first.
    other = TextEncoder(model, 1, shelf=shelf)
    monkeypatch.setattr(encoders, "split_model", lambda *_: other._parts)
    monkeypatch.setattr(SplitModel, "states", never)
    assert torch.equal(embed(other), alone)
