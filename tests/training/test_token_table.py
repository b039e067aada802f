import numpy as np
import torch

from hooktune.testing import tiny_model
from hooktune.training.token_table import TokenTable, trained_token_embeddings


def test_a_table_gives_the_embeddings_and_the_gradient_of_a_look_up():
    words = torch.nn.Embedding(9, 4)
    tokens = torch.tensor([[7, 2, 7], [2, 0, 5]])
    words(tokens).square().sum().backward()
    expected, words.weight.grad = words.weight.grad, None
    table = TokenTable(words, np.array([5, 7, 2, 2, 0]))
    with table.used():
        found = [words(tokens[:1]), words(tokens[1:])]
    assert torch.equal(torch.cat(found), words(tokens))
    sum(part.square().sum() for part in found).backward()
    torch.testing.assert_close(words.weight.grad, expected)


def test_only_words_that_are_trained_have_a_table():
    model = tiny_model()
    words = trained_token_embeddings(model)
    assert words is model[0].model.embeddings.word_embeddings
    words.weight.requires_grad_(False)
    assert trained_token_embeddings(model) is None
