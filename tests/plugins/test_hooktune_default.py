import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hooktune.contract.sessions import Sessions, TrainingBatch
from hooktune.errors import RequestError
from hooktune.testing import tiny_model
from hooktune_default import fit_batch, hyper_parameters
from hooktune_default.confidence import MAX_INVERSE_PROPENSITY, result_confidence
from hooktune_default.loss import clicked_other_pairs, ranking_loss
from hooktune_default.params import Params


def sessions_of(*clicks: list[int]) -> Sessions:
    """Sessions of which only the clicks, in the order of the results, are of interest."""
    count = sum(map(len, clicks))
    return Sessions(
        queries=pa.array(["apple"]),
        items=pa.array(["apple bread", "chair"]),
        session_ids=pa.array([f"s{place}" for place in range(len(clicks))]),
        query_index=np.zeros(len(clicks), dtype=np.int64),
        offsets=np.cumsum([0, *map(len, clicks)]),
        item_index=np.arange(count) % 2,
        clicks=np.array([number for session in clicks for number in session], dtype=np.int64),
        rank=np.full(count, np.nan, dtype=np.float32),
    )


def loss_by_loops(params: Params, sessions: Sessions, scores: list[float]) -> float:
    confidence = result_confidence(sessions, params)
    low = -math.inf if params.pair_min_difference is None else params.pair_min_difference
    high = math.inf if params.pair_max_difference is None else params.pair_max_difference
    pair_means, weight_means, attraction_means, irrelevant_means = [], [], [], []
    for start, end in zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True):
        clicked = [place for place in range(start, end) if sessions.clicks[place] > 0]
        others = [place for place in range(start, end) if sessions.clicks[place] == 0]
        pairs, weights = [], []
        for one in clicked:
            for other in others:
                difference = scores[one] - scores[other]
                if low <= difference <= high:
                    urgency = params.scale * (params.margin - difference)
                    weights.append(confidence[one] * confidence[other])
                    pairs.append(weights[-1] / (1 + math.exp(-urgency)))
        if pairs:
            pair_means.append(_mean(pairs))
            weight_means.append(_mean(weights))
        if clicked:
            attraction_means.append(sum(1 - scores[one] for one in clicked) / len(clicked))
        else:
            irrelevant_means.append(sum(max(scores[one], 0) for one in others) / len(others))
    return (
        (_mean(pair_means) / _mean(weight_means) if pair_means else 0.0)
        + params.attraction * _mean(attraction_means)
        + params.irrelevant_weight * _mean(irrelevant_means)
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


some_params = st.builds(
    Params,
    margin=st.floats(0, 1),
    scale=st.sampled_from([1.0, 5.0, 20.0]),
    attraction=st.floats(0, 1),
    irrelevant_weight=st.floats(0, 1),
    confidence=st.sampled_from(["constant", "position", "neighbours"]),
    pair_min_difference=st.none() | st.floats(-1, 0),
    pair_max_difference=st.none() | st.floats(0, 1),
)
some_clicks = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(params=some_params, clicks=some_clicks, seed=st.integers(0, 1000))
def test_the_loss_equals_loops_over_all_pairs(params, clicks, seed):
    sessions = sessions_of(*clicks)
    scores = torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, sessions.result_count))
    scores.requires_grad_()
    loss = ranking_loss(params, sessions, scores)
    assert loss.item() == pytest.approx(loss_by_loops(params, sessions, scores.tolist()), abs=1e-9)
    loss.backward()
    assert torch.isfinite(scores.grad).all()


def test_each_clicked_result_is_paired_with_the_others_of_its_session():
    clicked, other = clicked_other_pairs(sessions_of([0, 1, 0, 1], [0], [1], [2, 0]))
    assert [*zip(clicked.tolist(), other.tolist(), strict=True)] == [
        (1, 0), (1, 2), (3, 0), (3, 2), (6, 7)
    ]  # fmt: skip


def test_the_gradient_parts_clicked_from_other_results_and_leaves_irrelevant_sessions():
    scores = torch.zeros(5, requires_grad=True)
    params = Params(attraction=0.0, irrelevant_weight=0.0)
    ranking_loss(params, sessions_of([0, 1, 0], [0, 0]), scores).backward()
    assert scores.grad[1] < 0 < scores.grad[0]
    assert scores.grad[3:].abs().max() == 0


def test_attraction_holds_up_what_ranking_alone_does_not():
    sessions, moved = sessions_of([1, 0]), []
    for attraction in (0.0, 0.5):
        scores = torch.zeros(2, requires_grad=True)
        ranking_loss(Params(attraction=attraction), sessions, scores).backward()
        moved.append(float(-scores.grad.sum()))
    assert moved[0] == pytest.approx(0)
    assert moved[1] > 0


def test_position_confidence_believes_low_clicks_and_high_misses():
    params = Params(confidence="position", examination_decay=1.0)
    weights = result_confidence(sessions_of([0, 1, 0, 1], [*[0] * 49, 1]), params)
    np.testing.assert_allclose(weights[:4], [1, 2, 1 / 3, 4])
    assert weights[-1] == MAX_INVERSE_PROPENSITY


def test_neighbours_confidence_believes_what_was_skipped():
    params = Params(confidence="neighbours", neighbour_decay=0.5)
    weights = result_confidence(sessions_of([0, 1, 0, 1, 0, 0, 0]), params)
    np.testing.assert_allclose(weights, [1, 1, 1, 1, 1, 0.5, 0.25])


def test_confidence_follows_the_shown_position_after_down_sampling():
    params = Params(confidence="neighbours")
    sessions = sessions_of([1, 0, 0, 0])
    kept = np.array([True, False, False, True])
    np.testing.assert_allclose(
        result_confidence(sessions.keep_results(kept), params),
        result_confidence(sessions, params)[kept],
    )


def test_every_parameter_is_described_and_attraction_is_not_searched():
    assert hyper_parameters() is Params
    for field in Params.model_fields.values():
        assert field.description
    assert not Params.model_fields["attraction"].metadata[2:]
    with pytest.raises(ValidationError, match="is above pair_max_difference"):
        Params(pair_min_difference=0.5, pair_max_difference=0.1)


def test_sessions_with_nothing_to_rank_are_refused():
    sessions = sessions_of([1, 1], [0, 0])
    batch = TrainingBatch("0" * 24, sessions, np.zeros(4, dtype=np.float32))
    with pytest.raises(RequestError, match="nothing to rank"):
        fit_batch(None, tiny_model(), batch, Params(loss="pairs"))
