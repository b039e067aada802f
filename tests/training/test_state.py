"""All that changes while a model is trained, kept and put back."""

import json
import random

import numpy as np
import torch
from safetensors.torch import load, save

from hooktune.contract.checkpoint import Checkpoint
from hooktune.contract.seeding import seeded
from hooktune.testing import tiny_model
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
        state = gather_state(model, optimizer, {"w": torch.ones(2)}, {"count": 1})
        kept = through_files(1, *state)
        expected = draws()
        step(model, optimizer)

        other = tiny_model()
        with frozen(lowest_layers(other, 1)):
            second = adam_w(other, TrainingParams(learning_rate=1e-2))
            best = restore_state(kept, other, second)
            assert draws() == expected
            step(other, second)

    assert kept.facts["count"] == 1
    torch.testing.assert_close(best, {"w": torch.ones(2)})
    for (name, one), (_, same) in zip(
        model.named_parameters(), other.named_parameters(), strict=True
    ):
        torch.testing.assert_close(one, same, rtol=0, atol=0, msg=name)
    trained = {name.removeprefix("model.") for name in kept.tensors if name.startswith("model.")}
    assert not [name for name in trained if "embeddings.word" in name]
