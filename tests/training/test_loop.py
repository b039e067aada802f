import numpy as np
import pytest
import torch
from recording_run import RecordingRun, columns, draw_clicked, weights_of, with_texts
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router

from hooktune.contract.metric import MainMetric
from hooktune.contract.sessions import Sessions, TrainingBatch
from hooktune.errors import PluginError, RequestError
from hooktune.testing import tiny_model
from hooktune.training.encoder import TextEncoder
from hooktune.training.loop import TrainingParams, train
from hooktune.training.losses import mean_over_sessions
from hooktune.training.mini_batches import MiniBatch, mini_batches, sample_negatives
from hooktune.training.optimizer import gradient_step
from hooktune.training.scoring import mini_batch_scores, score_results


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return columns(seed=1)


@pytest.fixture(scope="module")
def batch(sessions) -> TrainingBatch:
    return TrainingBatch("0" * 24, sessions, score_results(tiny_model(), sessions))


def recording(batch, **changes) -> RecordingRun:
    return RecordingRun(batch.train, batch.baseline, **changes)


def router_model() -> SentenceTransformer:
    query, document = tiny_model(seed=1), tiny_model(seed=2)
    router = Router.for_query_document([*query], [*document])
    return SentenceTransformer(modules=[router], device="cpu")


def whole(sessions) -> MiniBatch:
    baseline = np.zeros(sessions.result_count, dtype=np.float32)
    return MiniBatch(sessions, baseline, sessions.not_irrelevant)


def scores_of(model, mini_batch) -> torch.Tensor:
    return mini_batch_scores(TextEncoder(model).reader(model), mini_batch)


FAST = TrainingParams(epochs=2, mini_batch_size=8, learning_rate=1e-3, precision="float32")


def test_training_raises_the_main_metric_and_tracks_every_step(batch):
    run = recording(batch)
    model = tiny_model()
    tuned = train(run, model, batch, draw_clicked, FAST)
    assert tuned is model
    assert not model.training
    steps = [step for step, _ in run.logged]
    assert steps == list(range(1, run.expected + 1)) == [step for step, *_ in run.measured]
    assert [step for step, *_ in run.evaluated] == [2, 4, 6, 8]
    assert run.evaluated[-1][1] > run.evaluated[0][1] > 0
    assert run.loss(batch.train, batch.baseline) == pytest.approx(
        1 - batch.baseline[batch.train.clicked].mean(), abs=0.05
    )


def test_scores_are_those_before_the_update(batch):
    run = recording(batch)
    train(run, tiny_model(), batch, draw_clicked, FAST)
    _, _, scores, baseline = run.measured[0]
    np.testing.assert_allclose(scores, baseline, atol=1e-5)


@pytest.mark.parametrize("make", [tiny_model, router_model])
def test_scores_with_gradient_equal_those_of_encoding(make, sessions):
    model = make()
    model.prompts = {"query": "find ", "passage": "text "}
    texts = ["Ünïcödé 検索 \u200b🍎", "apple " * 500, "", *sessions.items.to_pylist()[:9]]
    odd = with_texts(sessions, texts)
    scores = scores_of(model, whole(odd))
    np.testing.assert_allclose(scores.detach().numpy(), score_results(model, odd), atol=1e-5)


def test_truncated_embeddings_and_default_prompts_are_respected(sessions):
    model = tiny_model()
    model.truncate_dim, model.prompts, model.default_prompt_name = 8, {"any": "look "}, "any"
    scores = scores_of(model, whole(sessions))
    np.testing.assert_allclose(scores.detach().numpy(), score_results(model, sessions), atol=1e-5)


@pytest.mark.parametrize("held", [10**9, 0], ids=["made smaller", "computed again"])
def test_what_a_large_step_holds_in_less_memory_gives_the_same_gradient(
    sessions, monkeypatch, held: int
):
    gradients = []
    for plain, most in ((10**9, 10**9), (0, held)):
        monkeypatch.setattr("hooktune.training.encoder._TOKENS_PLAIN", plain)
        monkeypatch.setattr("hooktune.training.encoder._TOKENS_HELD", most)
        model = tiny_model()
        draw_clicked(sessions, scores_of(model, whole(sessions))).backward()
        known = (weight.grad for weight in model.parameters() if weight.grad is not None)
        gradients.append(torch.cat([gradient.flatten() for gradient in known]))
    plain, small = gradients
    assert (plain - small).norm() < 1e-3 * plain.norm()
    # What is computed again is what it was; half precision is not.
    assert torch.equal(plain, small) == (held == 0)


def test_training_follows_the_seed_and_leaves_the_random_state(batch):
    params = FAST.model_copy(update={"dropout": True, "negatives_per_session": 2})

    def tuned(seed):
        model = tiny_model()
        return weights_of(train(recording(batch, seed=seed), model, batch, draw_clicked, params))

    before = torch.get_rng_state()
    first = tuned(1)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    second, other = tuned(1), tuned(2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("count", [1, "half"])
def test_frozen_layers_do_not_change_and_have_no_dropout(batch, count):
    model = tiny_model()
    before = weights_of(model)
    modes = {}

    def loss(sessions, scores):
        modes.update({name: module.training for name, module in model.named_modules()})
        return draw_clicked(sessions, scores)

    params = FAST.model_copy(update={"frozen_layers": count, "dropout": True, "weight_decay": 0.5})
    after = weights_of(train(recording(batch), model, batch, loss, params))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(".embeddings." in name or ".layer.0." in name for name in changed)
    assert any(".layer.1." in name for name in changed)
    assert all(weight.requires_grad for weight in model.parameters())
    lower = [name for name in modes if ".embeddings" in name or ".layer.0" in name]
    assert lower
    assert not any(modes[name] for name in lower)
    assert any(modes[name] for name in modes if ".layer.1." in name)


def test_more_frozen_layers_than_there_are_is_an_error(batch):
    with pytest.raises(RequestError, match="2 transformer layers"):
        train(recording(batch), tiny_model(), batch, draw_clicked, TrainingParams(frozen_layers=3))


def test_the_two_sides_of_an_asymmetric_model_have_their_own_learning_rates(batch):
    model = router_model()
    before = weights_of(model)
    params = FAST.model_copy(update={"item_learning_rate": 1e-12, "weight_decay": 0.0})
    after = weights_of(train(recording(batch), model, batch, draw_clicked, params))
    moved = {"query": 0.0, "document": 0.0}
    for name, weight in after.items():
        side = "query" if "sub_modules.query" in name else "document"
        moved[side] = max(moved[side], float((weight - before[name]).abs().max()))
    assert moved["query"] > 1e-4
    assert moved["document"] < 1e-7


def test_a_symmetric_model_has_one_learning_rate(batch):
    params = TrainingParams(query_learning_rate=1e-5)
    with pytest.raises(RequestError, match="same weights"):
        train(recording(batch), tiny_model(), batch, draw_clicked, params)


def test_the_best_weights_come_back_and_training_stops_early(batch):
    run = recording(batch, answers=[0.1, 0.3, float("nan"), 0.3, 0.9])
    params = FAST.model_copy(update={"epochs": 10, "early_stopping_patience": 2})
    after = weights_of(train(run, tiny_model(), batch, draw_clicked, params))
    assert len(run.evaluated) == 4
    best = run.evaluated[1][2]
    assert all(torch.equal(after[name], best[name]) for name in best)


def test_a_metric_to_be_made_small_is_followed_too(batch):
    down = MainMetric("test_error", greater_is_better=False)
    run = recording(batch, answers=[0.3, 0.1, 0.2, 0.4], main_metric=down)
    after = weights_of(train(run, tiny_model(), batch, draw_clicked, FAST))
    best = run.evaluated[1][2]
    assert all(torch.equal(after[name], best[name]) for name in best)


def test_a_wish_to_stop_is_followed(batch):
    run = recording(batch, stop_after=3)
    train(run, tiny_model(), batch, draw_clicked, FAST)
    assert len(run.logged) == 3


def test_a_loss_that_is_no_number_is_an_error(batch):
    with pytest.raises(PluginError, match="became nan at step 1"):
        train(recording(batch), tiny_model(), batch, lambda _, s: s.mean() * torch.nan, FAST)
    with pytest.raises(PluginError, match="must be one number"):
        train(recording(batch), tiny_model(), batch, lambda _, s: s, FAST)


def test_a_batch_without_clicks_is_an_error(batch):
    irrelevant = batch.train.take(~batch.train.not_irrelevant)
    baseline = np.zeros(irrelevant.result_count, dtype=np.float32)
    no_clicks = TrainingBatch(batch.batch_id, irrelevant, baseline)
    with pytest.raises(RequestError, match="has a click"):
        train(recording(no_clicks), tiny_model(), no_clicks, draw_clicked, FAST)


def test_one_session_is_enough(batch):
    one = batch.train.take(np.flatnonzero(batch.train.not_irrelevant)[:1])
    small = TrainingBatch(batch.batch_id, one, np.zeros(one.result_count, dtype=np.float32))
    run = recording(small)
    train(run, tiny_model(), small, draw_clicked, FAST)
    assert run.expected == 2


def test_irrelevant_sessions_are_measured_and_only_on_request_learned_from(batch):
    for wanted in (False, True):
        given = []

        def loss(sessions, scores, given=given):
            given.append(sessions.not_irrelevant.all())
            return draw_clicked(sessions, scores)

        run = recording(batch)
        params = FAST.model_copy(update={"use_irrelevant_sessions": wanted})
        train(run, tiny_model(), batch, loss, params)
        assert all(given) is not wanted
        assert any(not sessions.not_irrelevant.all() for _, sessions, *_ in run.measured)


def test_an_epoch_takes_every_session_once_and_keeps_queries_together(batch):
    learned = np.ones(len(batch.train), dtype=bool)
    random = np.random.default_rng(0)
    epoch = list(mini_batches(batch, learned, 16, None, random))
    assert [len(step.sessions) for step in epoch] == [14, 13, 13]
    ids = [name for step in epoch for name in step.sessions.session_ids.to_pylist()]
    assert sorted(ids) == sorted(batch.train.session_ids.to_pylist())
    order = np.concatenate([step.sessions.query_index for step in epoch])
    assert np.count_nonzero(np.diff(order)) == len(np.unique(order)) - 1


def test_a_mini_batch_carries_its_own_baseline(batch):
    learned = batch.train.not_irrelevant
    baseline_of = {
        (name, item): batch.baseline[place]
        for place, (name, item) in enumerate(
            zip(
                np.array(batch.train.session_ids)[batch.train.session_index],
                batch.train.item_index,
                strict=True,
            )
        )
    }
    for step in mini_batches(batch, learned, 4, 3, np.random.default_rng(0)):
        names = np.array(step.sessions.session_ids)[step.sessions.session_index]
        for name, item, value in zip(names, step.sessions.item_index, step.baseline, strict=True):
            assert baseline_of[name, item] == value


def test_down_sampling_keeps_clicks_positions_and_shared_items(sessions):
    kept = sample_negatives(sessions, 2, np.random.default_rng(0))
    assert kept[sessions.clicked].all()
    other_kept = sessions.sum_per_session(kept & ~sessions.clicked)
    other = sessions.sum_per_session(~sessions.clicked)
    assert (other_kept == np.minimum(other, 2)).all()
    np.testing.assert_array_equal(sessions.keep_results(kept).positions, sessions.positions[kept])
    twice = sessions.take(np.array([0, 0]))
    kept = sample_negatives(twice, 2, np.random.default_rng(0))
    assert (kept[: len(kept) // 2] == kept[len(kept) // 2 :]).all()


def test_shared_results_of_frozen_layers_change_no_number(batch):
    params = FAST.model_copy(update={"frozen_layers": 1, "negatives_per_session": 2})
    runs, models = [], []
    for kept in (0, 1):
        runs.append(recording(batch, encoder=TextEncoder(tiny_model().eval(), kept)))
        models.append(weights_of(train(runs[-1], tiny_model(), batch, draw_clicked, params)))
    for (_, one), (_, other) in zip(runs[0].logged, runs[1].logged, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], abs=1e-5)
    for name, weight in models[0].items():
        torch.testing.assert_close(weight, models[1][name], atol=1e-4, rtol=1e-3)


def test_gradients_of_several_mini_batches_are_accumulated(batch):
    """Two mini-batches of eight accumulated move a model as one of sixteen would, nearly."""
    many = FAST.model_copy(update={"accumulated_mini_batches": 1000, "epochs": 1})
    before = weights_of(tiny_model())
    run = recording(batch)
    after = weights_of(train(run, tiny_model(), batch, draw_clicked, many))
    # Only after the last step do the weights change: all evaluations before it saw the old ones.
    assert len(run.evaluated) == 2
    assert all(torch.equal(run.evaluated[0][2][name], before[name]) for name in before)
    assert any(not torch.equal(after[name], before[name]) for name in before)


def test_the_last_few_accumulated_mini_batches_are_divided_by_their_own_number(batch):
    """Of three mini-batches two make one change and one makes the next, alone."""
    params = FAST.model_copy(update={"accumulated_mini_batches": 2, "max_grad_norm": 1e9})
    run, weight = recording(batch), torch.nn.Parameter(torch.zeros(1))
    optimizer, seen = torch.optim.SGD([weight], lr=1.0), []
    for step in (1, 2, 3):
        gradient_step(run, optimizer, (weight * 4).sum(), step, 3, params)
        seen.append(weight.item())
    assert seen == [0.0, -4.0, -8.0]


def test_measuring_leaves_a_model_in_the_mode_it_was_in(sessions):
    model = tiny_model().train()
    model[0].eval()
    before = [module.training for module in model.modules()]
    score_results(model, sessions)
    assert [module.training for module in model.modules()] == before
    assert any(before)


def test_a_mean_over_sessions_counts_sessions_alike(sessions):
    values = torch.arange(sessions.result_count, dtype=torch.float64, requires_grad=True)
    array, session = values.detach().numpy(), sessions.session_index
    expected = np.mean([array[session == place].mean() for place in range(len(sessions))])
    assert mean_over_sessions(sessions, values).item() == pytest.approx(expected)
    places = torch.from_numpy(np.flatnonzero(sessions.clicked))
    clicked = [
        array[(session == place) & sessions.clicked].mean()
        for place in np.flatnonzero(sessions.not_irrelevant)
    ]
    mean = mean_over_sessions(sessions, values[places], places)
    assert mean.item() == pytest.approx(np.mean(clicked))
    mean.backward()
    assert values.grad.sum().item() == pytest.approx(1)
    assert mean_over_sessions(sessions, values[:0], places[:0]).item() == 0


def losses_in(precision: str, batch) -> list[float]:
    """The training losses with a precision, of a training that makes its metric better."""
    run = recording(batch)
    train(run, tiny_model(), batch, draw_clicked, FAST.model_copy(update={"precision": precision}))
    assert run.evaluated[-1][1] > run.evaluated[0][1] > 0
    return [metrics["train_loss"] for _, metrics in run.logged]


def test_training_in_bfloat16_learns_as_well(batch):
    exact, near = losses_in("float32", batch), losses_in("bfloat16", batch)
    assert near == pytest.approx(exact, abs=0.02)
    assert near != exact


@pytest.mark.parametrize(("gains", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_bfloat16_is_taken_where_the_hardware_gains_from_it(
    monkeypatch, batch, gains: bool, precision: str
):
    monkeypatch.setattr("hooktune.training.loop.gains_from_bfloat16", lambda device: gains)
    assert losses_in("auto", batch) == losses_in(precision, batch)


@pytest.mark.parametrize("kept_at", [1, 7, 20])
def test_training_goes_on_from_a_checkpoint_as_if_nothing_had_happened(batch, kept_at: int):
    params = TrainingParams(
        epochs=3, mini_batch_size=4, learning_rate=1e-3, negatives_per_session=2, dropout=True,
        frozen_layers=1, accumulated_mini_batches=3,
    )  # fmt: skip
    undisturbed, whole_model = recording(batch, kept_at=kept_at), tiny_model()
    train(undisturbed, whole_model, batch, draw_clicked, params)

    rest, model = recording(batch, going_on_from=undisturbed.kept), tiny_model()
    train(rest, model, batch, draw_clicked, params)

    assert rest.logged == undisturbed.logged[kept_at:]
    assert [value for _, value, _ in rest.evaluated] == [
        value for step, value, _ in undisturbed.evaluated if step > kept_at
    ]
    for name, weight in weights_of(whole_model).items():
        torch.testing.assert_close(weights_of(model)[name], weight, rtol=1e-4, atol=1e-5)
