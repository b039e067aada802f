import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from hooktune.training.precision import (
    bfloat16_matrices,
    gains_from_bfloat16,
    share_of_bfloat16,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "share", "gains"),
    [
        ({"avx512_bf16": True}, 0.5, True),
        ({"amx_bf16": True}, 0.2, True),
        # As of a virtual processor whose host withholds the units for matrices.
        ({"avx512_bf16": True, "amx_bf16": False}, 1.9, False),
        ({"avx512_f": True}, 0.5, False),
    ],
)
def test_a_processor_gains_where_it_has_instructions_that_are_quicker(
    monkeypatch, capabilities, share, gains
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr("hooktune.training.precision.share_of_bfloat16", lambda: share)
    assert gains_from_bfloat16(CPU) is gains


def test_how_quick_bfloat16_is_is_tried_once():
    first = share_of_bfloat16()
    assert first > 0
    assert share_of_bfloat16() == first


def test_an_older_torch_that_cannot_tell_stays_with_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not gains_from_bfloat16(CPU)


def test_matrices_are_bfloat16_and_attention_is_float32_within():
    mask = torch.randn(5, 5)
    with bfloat16_matrices(CPU):
        projected = nn.Linear(8, 8)(torch.randn(1, 2, 5, 8))
        # A model that is in bfloat16 itself adds a mask of its kind.
        given = mask.to(torch.bfloat16)
        attended = scaled_dot_product_attention(projected, projected, projected, attn_mask=given)
    assert projected.dtype == attended.dtype == torch.bfloat16
    exact = projected.float()
    exact = scaled_dot_product_attention(exact, exact, exact, attn_mask=given.float())
    # Nothing but the rounding of the result is left.
    assert torch.equal(attended, exact.to(torch.bfloat16))


def test_nothing_is_changed_beyond_it():
    with bfloat16_matrices(CPU):
        pass
    assert nn.Linear(8, 8)(torch.randn(2, 8)).dtype == torch.float32
