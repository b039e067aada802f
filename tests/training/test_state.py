"""All that changes while a model is trained, kept and put back."""

import json
import random

import numpy as np
import torch
from safetensors.torch import load, save

from hooktune.contract.checkpoint import Checkpoint
from hooktune.contract.metric import MainMetric
from hooktune.contract.seeding import seeded
from hooktune.testing import tiny_model
from hooktune.training.best_weights import BestWeights
from hooktune.training.loop import TrainingParams
from hooktune.training.optimizer import adam_w, frozen, lowest_layers
from hooktune.training.state import gather_state, restore_state


def through_files(step: int, tensors: dict, facts: dict) -> Checkpoint:
    return Checkpoint(step, load(save(tensors)), json.loads(json.dumps(facts)))


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(1))  # noqa: NPY002


def step(model, optimizer) -> None:
    features = model.preprocess(["apple", "bread"])
    model(features)["sentence_embedding"].square().sum().backward()
    optimizer.step()


def test_weights_optimiser_and_random_states_come_back_and_frozen_weights_are_left_out():
    model = tiny_model()
    lowest = lowest_layers(model, 1)
    with seeded(3), frozen(lowest):
        optimizer = adam_w(model, TrainingParams(learning_rate=1e-2))
        step(model, optimizer)
        best = BestWeights(MainMetric("x"))
        best.consider(model, {"x": 2.0})
        best.consider(model, {"x": 1.0})
        state = gather_state(model, optimizer, best)
        kept = through_files(1, *state)
        expected = draws()
        step(model, optimizer)

        other = tiny_model()
        with frozen(lowest_layers(other, 1)):
            second = adam_w(other, TrainingParams(learning_rate=1e-2))
            restored = BestWeights(MainMetric("x"))
            assert restore_state(kept, other, second, restored) == 1
            assert draws() == expected
            step(other, second)

    assert restored.evaluations_since == kept.facts["evaluations_since"] == 1
    assert restored.weights
    torch.testing.assert_close(restored.weights, best.weights)
    for (name, one), (_, same) in zip(
        model.named_parameters(), other.named_parameters(), strict=True
    ):
        torch.testing.assert_close(one, same, rtol=0, atol=0, msg=name)
    trained = {name.removeprefix("model.") for name in kept.tensors if name.startswith("model.")}
    assert not [name for name in trained if "embeddings.word" in name]
