"""What the leading process tells the others: first of all, the model."""

import tempfile
from pathlib import Path

import numpy as np

from hooktune.iteration.messages import packed_model, unpacked_model
from hooktune.testing import tiny_model


def test_a_model_arrives_as_it_was_sent_and_leaves_no_folder(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model = tiny_model()
    arrived = unpacked_model(packed_model(model), "cpu")
    np.testing.assert_array_equal(arrived.encode("apple"), model.encode("apple"))
    assert list(tmp_path.iterdir()) == []
