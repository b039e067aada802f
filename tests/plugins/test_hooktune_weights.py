"""What the bundled methods make of the weights of events."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from hooktune import Sessions
from hooktune_default.loss import ranking_loss
from hooktune_default.params import Params
from hooktune_default.targets import click_targets

PLAIN = Sessions(
    queries=pa.array(["apple"], pa.large_string()),
    items=pa.array(["a", "b", "c"], pa.large_string()),
    session_ids=pa.array(["s"], pa.large_string()),
    query_index=np.array([0]),
    offsets=np.array([0, 3]),
    item_index=np.array([0, 1, 2]),
    clicks=np.array([1, 1, 0]),
    rank=np.full(3, np.nan),
)
WEIGHTED = replace(PLAIN, weights=np.array([1, 5, 0], dtype=np.float32))


def gradient(sessions: Sessions) -> list[float]:
    scores = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    ranking_loss(Params(confidence="constant", attraction=0), sessions, scores).backward()
    return scores.grad.tolist()


def test_a_weightier_result_is_drawn_more_in_proportion():
    first, second, other = gradient(WEIGHTED)
    assert second == pytest.approx(5 * first)
    assert first + second + other == pytest.approx(0)
    assert gradient(PLAIN)[0] == pytest.approx(gradient(PLAIN)[1])


def test_a_weightier_item_has_the_greater_share_of_its_querys_target():
    shares = click_targets(WEIGHTED).shares
    assert shares[1] > 2 * shares[0]
    assert shares.sum() == pytest.approx(1)
    assert click_targets(PLAIN).shares.tolist() == pytest.approx([0.5, 0.5, 0])


def test_weights_of_1_change_nothing():
    ones = replace(PLAIN, weights=np.array([1, 1, 0], dtype=np.float32))
    assert gradient(ones) == gradient(PLAIN)
    assert click_targets(ones).shares.tolist() == click_targets(PLAIN).shares.tolist()
