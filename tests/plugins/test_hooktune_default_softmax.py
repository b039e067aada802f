"""The Default Fine Tuning Method's softmax: what each query is to find, and among what."""

import copy
import math

import numpy as np
import pytest
import torch
from recording_run import RecordingRun, columns, weights_of
from two_processes import MODEL, in_two_processes

from hooktune.contract.sessions import TrainingBatch
from hooktune.errors import RequestError
from hooktune.testing import tiny_model
from hooktune.training.encoder import TextEncoder
from hooktune.training.mini_batches import MiniBatch
from hooktune.training.process_group import ALONE
from hooktune.training.scoring import score_results
from hooktune_default import fit_batch
from hooktune_default.params import Params
from hooktune_default.softmax import InBatchSoftmax, softmax_loss, softmax_loss_of_sessions
from hooktune_default.targets import click_targets
from hooktune_default.tuning import draw_sessions

FAST = Params(
    loss="softmax",
    epochs=2,
    mini_batch_size=4,
    learning_rate=1e-3,
    attraction=0.3,
    precision="float32",
)


@pytest.fixture(scope="module")
def batch() -> TrainingBatch:
    sessions = columns(seed=1)
    return TrainingBatch("0" * 24, sessions, score_results(tiny_model(), sessions))


def recording(batch, **changes) -> RecordingRun:
    return RecordingRun(batch.train, batch.baseline, **changes)


def softmax_by_loops(params: Params, similarities, shares, shown) -> float:
    losses = []
    for row, share, own in zip(similarities, shares, shown, strict=True):
        reached = sum(t * s for s, t in zip(row, share, strict=True))
        loss = 3 * params.attraction * (1 - reached)
        for temperature, among in (
            (params.temperature, np.ones(len(row), dtype=bool)),
            (params.temperature / 2, own),
        ):
            parts = [math.exp(s / temperature) for s in row]
            total = sum(part for part, there in zip(parts, among, strict=True) if there)
            cross_entropy = -sum(
                t * math.log(part / total) for part, t in zip(parts, share, strict=True) if t
            )
            loss += params.temperature * cross_entropy
        losses.append(loss)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_the_loss_equals_softmaxes_by_loops(temperature):
    random, params = np.random.default_rng(0), Params(temperature=temperature, attraction=0.3)
    similarities = random.uniform(-1, 1, (3, 5))
    shown = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 1], [0, 0, 1, 0, 0]], dtype=bool)
    shares = np.where(shown, random.dirichlet(np.ones(5), 3), 0)
    shares /= shares.sum(axis=1, keepdims=True)
    loss = softmax_loss(params, *map(torch.from_numpy, (similarities, shares, shown)))
    assert loss.item() == pytest.approx(softmax_by_loops(params, similarities, shares, shown))


def test_a_step_without_anything_to_find_has_no_loss():
    nothing = torch.zeros(0, 4)
    assert softmax_loss(Params(), nothing, nothing, nothing.bool()).item() == 0


def test_an_evaluation_s_loss_is_that_of_each_session_over_what_it_showed(batch):
    sessions, params = batch.train, Params()
    expected = []
    for start, end in zip(sessions.offsets[:-1], sessions.offsets[1:], strict=True):
        clicked = sessions.clicked[start:end]
        if clicked.any():
            shares = clicked / clicked.sum()
            similarities = [batch.baseline[start:end]]
            shown = [np.ones(end - start, dtype=bool)]
            expected.append(softmax_by_loops(params, similarities, [shares], shown))
    loss = softmax_loss_of_sessions(params, sessions, torch.from_numpy(np.array(batch.baseline)))
    assert loss.item() == pytest.approx(np.mean(expected), abs=1e-5)


def test_a_step_s_softmax_is_over_all_its_items_and_its_targets_are_of_all_sessions(batch):
    sessions, params = batch.train, Params(temperature=0.2)
    few = np.flatnonzero(sessions.not_irrelevant)[:3]
    part, (baseline,) = sessions.take_with(few, batch.baseline)
    targets = click_targets(sessions)
    step = InBatchSoftmax(params, targets)(
        TextEncoder(model := tiny_model()).reader(model),
        MiniBatch(part, baseline, np.ones(3, dtype=bool)),
    )
    np.testing.assert_allclose(step.scores.detach(), baseline, atol=1e-5)
    items, asked = np.unique(part.item_index), np.unique(part.query_index)
    queries = model.encode_query(
        [sessions.queries[int(place)].as_py() for place in asked], normalize_embeddings=True
    )
    documents = model.encode_document(
        [sessions.items[int(place)].as_py() for place in items], normalize_embeddings=True
    )
    shares = np.zeros((len(asked), len(items)))
    shown = np.zeros(shares.shape, dtype=bool)
    for row, query in enumerate(asked):
        (place,) = np.flatnonzero(targets.query_index == query)
        for entry in range(targets.offsets[place], targets.offsets[place + 1]):
            shares[row, items == targets.item_index[entry]] = targets.shares[entry]
            shown[row, items == targets.item_index[entry]] = True
    shares /= shares.sum(axis=1, keepdims=True)
    expected = softmax_by_loops(params, queries @ documents.T, shares, shown)
    assert step.loss.item() == pytest.approx(expected, abs=1e-5)


def test_what_none_of_the_items_is_a_target_of_has_no_shares(batch):
    targets = click_targets(batch.train)
    first = targets.item_index[targets.offsets[0] : targets.offsets[1]]
    elsewhere = np.setdiff1d(np.arange(len(batch.train.items)), first)
    unknown = np.array([len(batch.train.queries)])
    for query, items in ((targets.query_index[:1], elsewhere), (unknown, np.unique(first))):
        assert not np.any(targets.among(query, items))
    shares, shown = targets.among(targets.query_index[:1], np.unique(first))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    assert shown.all()


def test_a_few_clicked_sessions_of_each_query_are_drawn_and_those_without_a_click_stay(batch):
    sessions = batch.train
    kept = draw_sessions(sessions, 2, seed=0)
    assert kept[~sessions.not_irrelevant].all()
    drawn = np.bincount(sessions.query_index[kept & sessions.not_irrelevant])
    known = np.bincount(sessions.query_index[sessions.not_irrelevant])
    np.testing.assert_array_equal(drawn, np.minimum(known, 2))
    assert (kept != draw_sessions(sessions, 2, seed=1)).any()


def test_training_brings_queries_and_clicked_items_together(batch):
    run = recording(batch)
    fit_batch(run, tiny_model(), batch, FAST)
    assert [step for step, _ in run.logged] == [*range(1, run.expected + 1)]
    assert run.evaluated[-1][1] > 0
    assert run.loss(batch.train, batch.baseline) > 0


def test_a_run_goes_on_from_a_checkpoint_as_if_nothing_had_happened(batch):
    whole = recording(batch, kept_at=3)
    expected = weights_of(fit_batch(whole, tiny_model(), batch, FAST))
    rest = recording(batch, going_on_from=whole.kept)
    found = weights_of(fit_batch(rest, tiny_model(), batch, FAST))
    assert [step for step, _ in rest.logged] == [*range(4, whole.expected + 1)]
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


def test_two_processes_give_the_numbers_of_one(batch):
    params = FAST.model_copy(update={"epochs": 1, "evaluations_per_epoch": 0})

    def trained(group):
        run = recording(batch, encoder=TextEncoder(copy.deepcopy(MODEL), group=group))
        weights = weights_of(fit_batch(run, copy.deepcopy(MODEL), batch, params))
        losses = [metrics["train_loss"] for _, metrics in run.logged]
        return losses, {name: weight.numpy() for name, weight in weights.items()}

    alone = trained(ALONE)
    for together in in_two_processes(trained):
        np.testing.assert_allclose(together[0], alone[0], atol=1e-5)
        for name, weight in alone[1].items():
            np.testing.assert_allclose(together[1][name], weight, atol=1e-4, err_msg=name)


def test_sessions_without_a_click_are_pushed_away_only_on_request(batch):
    asked = FAST.model_copy(update={"use_irrelevant_sessions": True, "irrelevant_weight": 1.0})
    losses = []
    for params in (FAST, asked):
        run = recording(batch, stop_after=1)
        fit_batch(run, tiny_model(), batch, params)
        losses.append(run.logged[0][1]["train_loss"])
    assert losses[0] != losses[1]


def test_sessions_in_which_all_was_clicked_can_be_learned_from(batch):
    sessions = batch.train
    all_clicked, (baseline,) = sessions.keep_results_with(sessions.clicked, batch.baseline)
    run = recording(batch)
    fit_batch(run, tiny_model(), TrainingBatch("0" * 24, all_clicked, baseline), FAST)
    assert run.logged


def test_a_batch_without_a_click_is_refused(batch):
    none, (baseline,) = batch.train.take_with(~batch.train.not_irrelevant, batch.baseline)
    with pytest.raises(RequestError, match="nothing to learn from"):
        fit_batch(recording(batch), tiny_model(), TrainingBatch("0" * 24, none, baseline), FAST)
