"""The part of training that a model keeps."""

import pytest
import torch
from recording_run import RecordingRun, columns, draw_clicked, weights_of

from hooktune.contract.sessions import TrainingBatch
from hooktune.testing import tiny_model
from hooktune.training.loop import TrainingParams, train
from hooktune.training.optimizer import frozen, lowest_layers
from hooktune.training.scoring import score_results
from hooktune.training.starting_weights import StartingWeights


@pytest.fixture(scope="module")
def batch() -> TrainingBatch:
    sessions = columns(seed=1)
    return TrainingBatch("0" * 24, sessions, score_results(tiny_model(), sessions))


def tuned(batch, kept: float, *, evaluations: int = 0, **of_run):
    params = TrainingParams(
        mini_batch_size=8,
        learning_rate=1e-3,
        precision="float32",
        evaluations_per_epoch=evaluations,
        weights_kept=kept,
    )
    run = RecordingRun(batch.train, batch.baseline, **of_run)
    return weights_of(train(run, tiny_model(), batch, draw_clicked, params)), run


def test_half_of_the_change_of_each_weight_is_kept(batch):
    start, whole = weights_of(tiny_model()), tuned(batch, 1.0)[0]
    half, none = tuned(batch, 0.5)[0], tuned(batch, 0.0)[0]
    assert any(not torch.equal(whole[name], start[name]) for name in start)
    for name, before in start.items():
        torch.testing.assert_close(half[name], (before + whole[name]) / 2)
        assert torch.equal(none[name], before)


def test_what_is_measured_is_what_would_be_kept_and_training_goes_on_from_the_whole(batch):
    _, measured_whole = tuned(batch, 1.0, evaluations=4, answers=[0.1, 0.3, 0.2, 0.2])
    half, measured = tuned(batch, 0.5, evaluations=4, answers=[0.1, 0.3, 0.2, 0.2])
    start = weights_of(tiny_model())
    for (*_, one), (*_, other) in zip(measured.evaluated, measured_whole.evaluated, strict=True):
        for name, before in start.items():
            torch.testing.assert_close(one[name], (before + other[name]) / 2)
    best = measured.evaluated[1][2]
    assert all(torch.equal(half[name], best[name]) for name in best)
    assert measured.logged == measured_whole.logged


def test_a_run_that_goes_on_keeps_the_same_part(batch):
    at_once, run = tuned(batch, 0.25, evaluations=2, kept_at=3)
    assert run.kept is not None
    resumed, _ = tuned(batch, 0.25, evaluations=2, going_on_from=run.kept)
    for name, weight in at_once.items():
        torch.testing.assert_close(resumed[name], weight)


def test_frozen_and_whole_numbers_stay_and_a_tied_weight_is_taken_back_once():
    model = tiny_model()
    layers = model[0].auto_model.encoder.layer
    layers[1].intermediate.dense.bias = layers[0].intermediate.dense.bias
    model.register_buffer("mean", torch.zeros(2))
    model.register_buffer("seen", torch.tensor(0))
    with frozen([*lowest_layers(model, 0), layers[0].attention]):
        start = StartingWeights(model, 0.5)
        with torch.no_grad():
            for weight in model.parameters():
                weight += 1
            model.mean += 1
            model.seen += 1
        before = {name: value.clone() for name, value in model.state_dict().items()}
        start.bring_back(model)
    after = model.state_dict()
    moved = {name: before[name] - after[name] for name in after}
    for name, change in moved.items():
        stays = ".layer.0.attention." in name or name == "seen"
        expected = torch.full_like(change, 0 if stays else 0.5)
        torch.testing.assert_close(change, expected, msg=name)
