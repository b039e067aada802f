import copy
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from hooktune.testing import tiny_model
from hooktune.training.encoder import TextEncoder
from hooktune.training.layer_cache import LayerCache

TEXTS = pa.array(["apple bread", "mango", "apple bread", "", "violin " * 40], pa.large_string())
INDEX = np.array([4, 0, 2, 3, 0])


@pytest.fixture
def model():
    return tiny_model(layers=3).eval()


def expected(model) -> np.ndarray:
    texts = [TEXTS[place].as_py() for place in INDEX.tolist()]
    return model.encode_document(texts, normalize_embeddings=True)


def embedded(reader, learned=None) -> torch.Tensor:
    rows, embeddings = reader.embed(TEXTS, INDEX, "document", learned)
    return embeddings[torch.from_numpy(rows)]


@pytest.mark.parametrize("frozen", [0, 1, 3])
def test_embeddings_are_those_of_the_model_itself(model, frozen):
    encoder = TextEncoder(model, frozen)
    for _ in range(2):
        found = embedded(encoder.reader(model)).detach().numpy()
        np.testing.assert_allclose(found, expected(model), atol=1e-5)


def test_each_distinct_text_has_one_row(model):
    rows, embeddings = TextEncoder(model).reader(model).embed(TEXTS, INDEX, "document")
    assert len(embeddings) == 3
    assert rows[1] == rows[2] == rows[4]


def test_a_tuned_model_shares_what_its_frozen_layers_made(model, monkeypatch):
    encoder = TextEncoder(model, 2)
    embedded(encoder.reader(model))
    tuned = copy.deepcopy(model)
    with torch.no_grad():
        tuned[0].model.encoder.layer[2].output.dense.weight.mul_(2)
    monkeypatch.setattr(LayerCache, "_compute", None)  # nothing is to be computed again
    found = embedded(encoder.reader(tuned)).detach().numpy()
    np.testing.assert_allclose(found, expected(tuned), atol=1e-5)


@pytest.mark.parametrize("changed", ["lowest layer", "tokens", "other model"])
def test_a_model_that_differs_below_is_encoded_for_itself(model, changed):
    encoder = TextEncoder(model, 2)
    embedded(encoder.reader(model))
    tuned = copy.deepcopy(model)
    if changed == "lowest layer":
        with torch.no_grad():
            tuned[0].model.encoder.layer[0].output.dense.weight.mul_(2)
    elif changed == "tokens":
        tuned.max_seq_length = 8
    else:
        tuned = tiny_model(seed=9, layers=2).eval()
    found = embedded(encoder.reader(tuned)).detach().numpy()
    np.testing.assert_allclose(found, expected(tuned), atol=1e-5)


def test_layers_that_are_going_to_change_are_not_kept(model):
    encoder = TextEncoder(model, 2)
    assert encoder.reader(model, frozen_layers=2).parts is not None
    assert encoder.reader(model, frozen_layers=1).parts is None


def test_a_gradient_reaches_what_is_learned_from_and_nothing_else(model):
    reader = TextEncoder(model).reader(model)
    rows, embeddings = reader.embed(TEXTS, INDEX, "document", INDEX == 4)
    assert embeddings.requires_grad
    embeddings[rows[1]].sum().backward()
    assert all(not weight.grad.any() for weight in model.parameters() if weight.grad is not None)


def test_a_full_disk_makes_training_slower_and_nothing_worse(model, monkeypatch, caplog):
    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr("hooktune.training.layer_states.MEMORY_BUDGET_BESIDE_FILES", 100)
    monkeypatch.setattr("hooktune.training.layer_states.MEMORY_BUDGET", 100)
    monkeypatch.setattr("hooktune.training.layer_states.reserve", full)
    found = embedded(TextEncoder(model, 2).reader(model)).detach().numpy()
    np.testing.assert_allclose(found, expected(model), atol=1e-5)
    assert "No space left" in caplog.text


def test_bfloat16_is_near(model):
    reader = replace(TextEncoder(model, 1).reader(model), in_bfloat16=True)
    found = embedded(reader)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.detach().numpy(), expected(model), atol=0.05)
