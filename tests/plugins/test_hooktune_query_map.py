import copy
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from recording_run import RecordingRun
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router
from torch.nn.functional import normalize

from hooktune.contract.sessions import Sessions, TrainingBatch
from hooktune.errors import PluginError, RequestError
from hooktune.testing import check_method, made_up_sessions, tiny_model
from hooktune.training.scoring import score_results
from hooktune_query_map import fit_batch, hyper_parameters, main_metric
from hooktune_query_map.params import Params
from hooktune_query_map.router import map_of, put_map, without_map

TEXTS = ["apple bread", "chair", "delta eagle flute"]


def turned(size, seed=0):
    return (
        torch.eye(size)
        + 0.2
        * torch.from_numpy(
            np.random.default_rng(seed).standard_normal((size, size)) / size**0.5
        ).float()
    )


def with_normalize():
    model = tiny_model()
    model.append(Normalize())
    return model


@pytest.mark.parametrize("made", [tiny_model, with_normalize], ids=["raw", "normalised"])
def test_a_map_moves_queries_and_leaves_items_and_plain_encoding(made, tmp_path):
    model, matrix = made(), turned(32)
    before = {task: getattr(model, f"encode_{task}")(TEXTS) for task in ("query", "document")}
    put_map(model, matrix)
    model.save_pretrained(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    for one in (model, loaded):
        assert np.allclose(one.encode_document(TEXTS), before["document"], rtol=0, atol=1e-6)
        assert np.allclose(one.encode(TEXTS), before["document"], rtol=0, atol=1e-6)
        expected = torch.from_numpy(before["query"]) @ matrix
        queries = one.encode_query(TEXTS, normalize_embeddings=True)
        assert np.allclose(queries, normalize(expected, dim=1), atol=1e-5)
    unit = np.allclose(np.linalg.norm(before["document"], axis=1), 1, atol=1e-4)
    assert unit == (made is with_normalize)
    assert np.allclose(np.linalg.norm(loaded.encode_query(TEXTS), axis=1), 1, atol=1e-4) == unit


def test_a_map_takes_the_place_of_the_one_before_and_can_be_taken_off():
    model = with_normalize()
    names, embeddings = [type(module) for module in model], model.encode_query(TEXTS)
    put_map(model, turned(32, seed=1))
    put_map(model, turned(32, seed=2))
    assert torch.allclose(map_of(model), turned(32, seed=2))
    assert sum(isinstance(module, Dense) for module in model.modules()) == 1
    base = without_map(model)
    assert [type(module) for module in base] == names
    assert map_of(base) is None
    assert np.allclose(base.encode_query(TEXTS), embeddings, atol=1e-6)
    assert map_of(model) is not None


def test_a_model_with_a_router_of_its_own_keeps_it(tmp_path):
    base = tiny_model()
    own = Dense(32, 32, bias=False, activation_function=torch.nn.Identity())
    router = Router.for_query_document([own, Normalize()], [Dense(32, 32), Normalize()])
    model = SentenceTransformer(modules=[*base, router], device="cpu")
    before = {task: getattr(model, f"encode_{task}")(TEXTS) for task in ("query", "document")}
    assert map_of(model) is None
    for _ in range(2):
        put_map(model, turned(32))
        model.save_pretrained(str(tmp_path))
        model = SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
        assert sum(isinstance(module, Router) for module in model) == 2
        expected = normalize(torch.from_numpy(before["query"]) @ turned(32), dim=1)
        assert np.allclose(model.encode_query(TEXTS), expected, atol=1e-5)
        assert np.allclose(model.encode_document(TEXTS), before["document"], atol=1e-6)


def test_of_a_model_that_cuts_embeddings_off_what_is_left_is_mapped():
    model = with_normalize()
    model.truncate_dim = 8
    before = torch.from_numpy(model.encode_query(TEXTS))
    put_map(model, turned(8))
    expected = normalize(before @ turned(8), dim=1)
    queries = model.encode_query(TEXTS, normalize_embeddings=True)
    assert np.allclose(queries, expected, atol=1e-5)


def test_a_map_of_longer_embeddings_is_refused():
    with pytest.raises(PluginError, match=r"64 numbers.*have 32"):
        put_map(tiny_model(), torch.eye(64))


def many_sessions(**options) -> Sessions:
    return made_up_sessions(**{"sessions": 160, "queries": 80, "items": 60, **options})


def batch_of(model, sessions):
    return TrainingBatch("0" * 24, sessions, score_results(model, sessions))


def fit(model, sessions, run=None, **params):
    batch = batch_of(model, sessions)
    run = run or RecordingRun(sessions, batch.baseline, main_metric=main_metric())
    tuned = fit_batch(run, copy.deepcopy(model), batch, Params(**params))
    return tuned, run


def gap(model, tuned, sessions):
    rise = score_results(tuned, sessions) - score_results(model, sessions)
    return float(rise[sessions.clicked].mean() - rise[~sessions.clicked].mean())


def test_a_model_is_tuned_and_what_was_learned_is_logged_at_true_steps():
    model, sessions = tiny_model(), many_sessions()
    tuned, run = fit(model, sessions, step=1, epochs=40)
    assert gap(model, tuned, sessions) > 0.002
    steps = [step for step, _ in run.logged]
    queries = len(np.unique(sessions.query_index[sessions.not_irrelevant]))
    of_epoch = -(-queries // 64), -(-int(sessions.not_irrelevant.sum()) // 64)
    assert run.expected == steps[-1] == 2 * 40 * of_epoch[0] + 4 * of_epoch[1]
    assert steps == sorted(steps)
    assert [*run.logged[0][1]] == ["train_loss"]
    losses = [each["train_loss"] for _, each in run.logged if "train_loss" in each]
    assert losses[-1] < losses[0]
    assert [step for step, _, _ in run.evaluated] == [run.expected]


def map_less_identity(model):
    return map_of(model) - torch.eye(32)


def test_tuned_again_the_two_maps_are_one():
    model, sessions = tiny_model(), many_sessions()
    once, _ = fit(model, sessions, step=0.5)
    twice, _ = fit(once, many_sessions(seed=1), step=0.5)
    assert sum(isinstance(module, Dense) for module in twice.modules()) == 1
    assert len(list(twice)) == len(list(once))
    alone, _ = fit(model, many_sessions(seed=1), step=0.5)
    both = 0.5 * map_less_identity(once) + map_less_identity(alone)
    assert torch.allclose(map_less_identity(twice), both, atol=1e-5)


def test_however_many_iterations_the_map_stays_as_near_the_identity_as_one_alone():
    model, alone = tiny_model(), []
    for week in range(8):
        sessions = many_sessions(seed=week)
        alone.append(map_less_identity(fit(tiny_model(), sessions, step=1, epochs=10)[0]).norm())
        model, _ = fit(model, sessions, step=0.5, epochs=10)
    assert map_less_identity(model).norm() <= max(alone)


def test_with_few_queries_the_starting_model_is_kept_and_the_reason_is_told(caplog):
    model = tiny_model()
    # Clicks that follow from nothing.
    sessions = made_up_sessions(sessions=24, queries=12)
    clicks = np.random.default_rng(0).permutation(sessions.clicks)
    sessions = replace(sessions, clicks=clicks)
    with caplog.at_level(logging.WARNING):
        tuned, run = fit(model, sessions)
    assert "12 training queries have a click" in caplog.text or "11 training" in caplog.text
    assert map_of(tuned) is None
    assert np.array_equal(tuned.encode_query(TEXTS), model.encode_query(TEXTS))
    assert len(run.evaluated) == 1


def test_a_wish_to_stop_leaves_the_model_as_it_was():
    model, sessions = tiny_model(), many_sessions()
    batch = batch_of(model, sessions)
    run = RecordingRun(sessions, batch.baseline, stop_after=2)
    tuned, _ = fit(model, sessions, run)
    assert len(run.logged) <= 3
    assert map_of(tuned) is None


def test_a_batch_without_clicks_is_refused():
    sessions = made_up_sessions()
    sessions = replace(sessions, clicks=np.zeros_like(sessions.clicks))
    with pytest.raises(RequestError, match="40 training sessions has a click"):
        fit(tiny_model(), sessions)


def test_the_method_is_judged_by_the_gap():
    assert str(main_metric()) == "test_dist_shift_gap:max"


@pytest.mark.parametrize(
    "wrong", [{"step": 1.1}, {"step": "whole"}, {"l2": -1}, {"epochs": 0}, {"rank": 16}]
)
def test_parameters_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValidationError):
        hyper_parameters()(**wrong)


def test_the_method_keeps_the_contract():
    check_method("Query Map Method")
