"""How far a model has moved things from where the starting model has them."""

import copy

import numpy as np
import pytest
import torch

from hooktune.contract.collection_metrics import COLLECTION_DESCRIPTIONS
from hooktune.evaluation import movement as module
from hooktune.evaluation.collection import Collection
from hooktune.evaluation.movement import Footprint, footprint, movement
from hooktune.testing import made_up_sessions, tiny_model
from hooktune.training.encoder import TextEncoder


def made_footprint(items: list[list[float]], top: list[list[int]]) -> Footprint:
    vectors = torch.nn.functional.normalize(torch.tensor(items), dim=1)
    return Footprint(vectors, vectors, np.array(top))


def test_distances_and_the_share_of_other_results():
    before = made_footprint([[1.0, 0.0]] * 20, [[0, 1, 2, 3], [0, 1, -1, -1]])
    turned = made_footprint([[1.0, 0.0]] * 18 + [[0.0, 1.0]] * 2, [[1, 0, 2, 9], [0, 2, -1, -1]])
    moved = movement(before, turned)
    assert moved["test_moved_items"] == pytest.approx(0.1)
    assert moved["test_moved_items_p95"] == pytest.approx(1)
    assert moved["test_moved_top_10"] == pytest.approx((1 / 4 + 1 / 2) / 2), "the order is no move"
    assert {name.removeprefix("test_") for name in moved} <= COLLECTION_DESCRIPTIONS.keys()


def test_embeddings_of_another_size_have_no_distance():
    before = made_footprint([[1.0, 0.0]], [[0, 1]])
    longer = made_footprint([[1.0, 0.0, 0.0]], [[0, 1]])
    assert movement(before, longer) == {"test_moved_top_10": 0}


def test_a_model_is_measured_where_the_starting_model_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_SAMPLED", 50)
    start = tiny_model()
    collection = Collection(made_up_sessions(sessions=40, queries=20, items=90), TextEncoder(start))

    def of(model) -> Footprint:
        embedded = collection.embed(model, collection.sessions, "the model")
        return footprint(collection, embedded, collection.search(embedded))

    before = of(start)
    assert len(before.items) == 50
    assert before.top.shape == (len(collection.queries), 10)
    same = movement(before, of(copy.deepcopy(start)))
    assert max(same.values()) < 1e-6
    other = copy.deepcopy(start)
    with torch.no_grad():
        for layer in other[0].auto_model.encoder.layer:
            layer.output.LayerNorm.bias += torch.linspace(-3, 3, 32)
    moved = movement(before, of(other))
    assert 0 < moved["test_moved_items"] <= moved["test_moved_items_p95"] <= 2
    assert 0 < moved["test_moved_top_10"] <= 1
