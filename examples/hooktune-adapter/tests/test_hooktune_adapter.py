import hooktune_adapter
import numpy as np
import torch
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from hooktune.testing import check_method, tiny_model


def test_it_keeps_the_contract_of_a_method():
    check_method(hooktune_adapter)


def test_a_model_keeps_one_matrix_before_its_normalisation():
    model = tiny_model(dimensions=4).append(Normalize())
    before = model.encode(["apple bread"])
    half_turn, stretch = -torch.eye(4), torch.diag(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    for matrix in (half_turn, stretch):
        hooktune_adapter.add_matrix(model, matrix)
    assert [type(module) for module in model][2:] == [Dense, Normalize]
    expected = before * np.array([-1, -2, -3, -4])
    np.testing.assert_allclose(
        model.encode(["apple bread"]), expected / np.linalg.norm(expected), atol=1e-5
    )
