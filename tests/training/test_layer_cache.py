import copy

import numpy as np
import pytest
import torch

from hooktune.testing import tiny_model
from hooktune.training.layer_cache import LayerCache, same_lowest_layers, split_model
from hooktune.training.tokens import tokenise

TEXTS = ["apple bread", "", "mango " * 30, "violin piano cello"]
ALL = np.arange(len(TEXTS))


@pytest.fixture
def model():
    return tiny_model(layers=3).eval()


@pytest.fixture
def tokens(model):
    return tokenise(model, TEXTS, "document")


def embeddings(model, features) -> torch.Tensor:
    return model(dict(features))["sentence_embedding"]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_parts_of_a_model_make_of_a_text_what_the_whole_makes(model, tokens, depth):
    parts = split_model(model, depth)
    cache = LayerCache(tokens, parts.width, model.device)
    expected = embeddings(model, tokens.padded(ALL))
    for _ in range(2):
        torch.testing.assert_close(embeddings(parts.upper, cache.features(parts, ALL)), expected)


def test_each_text_goes_through_the_lower_layers_once(model, tokens):
    parts = split_model(model, 2)
    cache = LayerCache(tokens, parts.width, model.device)
    calls = []
    parts.last.register_forward_hook(lambda _, args, result: calls.append(len(args[0])))
    for rows in (ALL[:2], ALL, ALL[1:]):
        cache.features(parts, rows)
    assert calls == [2, 2]


def test_states_that_do_not_fit_the_memory_are_kept_in_a_file(model, tokens, monkeypatch):
    monkeypatch.setattr("hooktune.training.layer_states.MEMORY_BUDGET_BESIDE_FILES", 100)
    parts = split_model(model, 2)
    cache = LayerCache(tokens, parts.width, model.device)
    expected = embeddings(model, tokens.padded(ALL))
    for _ in range(2):
        torch.testing.assert_close(embeddings(parts.upper, cache.features(parts, ALL)), expected)


def test_gradients_reach_the_upper_layers_alone_and_are_the_same(model, tokens):
    parts = split_model(model, 2)
    cache = LayerCache(tokens, parts.width, model.device)
    embeddings(parts.upper, cache.features(parts, ALL)).square().sum().backward()
    found = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()
    embeddings(model, tokens.padded(ALL)).square().sum().backward()
    for name, weight in model.named_parameters():
        if ".layer.2." in name:
            torch.testing.assert_close(found[name], weight.grad)
        else:
            assert found[name] is None


def test_splitting_leaves_each_module_in_its_mode(model):
    model.train()
    model[0].model.embeddings.eval()
    before = [module.training for module in model.modules()]
    assert split_model(model, 1)
    assert [module.training for module in model.modules()] == before


def test_models_differ_in_their_lowest_layers_or_do_not(model):
    other = copy.deepcopy(model)
    layers = other[0].model.encoder.layer
    with torch.no_grad():
        layers[2].output.dense.weight.add_(1)
    assert same_lowest_layers(model, other, 2)
    assert not same_lowest_layers(model, other, 3)
    with torch.no_grad():
        other[0].model.embeddings.word_embeddings.weight.add_(1)
    assert not same_lowest_layers(model, other, 1)


@pytest.mark.parametrize("depth", [0, 4])
def test_there_is_nothing_to_split_at_no_layer_and_beyond_the_last(model, depth):
    assert split_model(model, depth) is None


def test_a_model_whose_parts_would_differ_from_the_whole_is_not_split(model):
    class Doubling(torch.nn.Module):
        """Changes embeddings before the first layer, outside the model's embeddings module."""

        def __init__(self, encoder):
            super().__init__()
            self.layer = encoder.layer
            self.encoder = encoder

        def forward(self, states, **kwargs):
            return self.encoder(states * 2, **kwargs)

    model[0].model.encoder = Doubling(model[0].model.encoder)
    assert split_model(model, 1) is None
