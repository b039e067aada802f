"""The Default Fine Tuning Method's query map: on top of what is trained, and held meanwhile."""

import copy
import logging

import numpy as np
import pytest
import torch
from recording_run import RecordingRun
from sentence_transformers.base.modules import Dense

from hooktune.contract.sessions import TrainingBatch
from hooktune.testing import made_up_sessions, tiny_model
from hooktune.training.scoring import score_results
from hooktune_default import fit_batch
from hooktune_default.params import Params
from hooktune_query_map.router import map_of, without_map

QUERIES, ITEMS = ["red shoes", "a bed"], ["Running shoe, red", "Bunk bed"]


def fit(model, *, queries=60, seed=0, stop_after=None, **params):
    sessions = made_up_sessions(sessions=2 * queries, queries=queries, items=60, seed=seed)
    batch = TrainingBatch("0" * 24, sessions, score_results(model, sessions))
    run = RecordingRun(sessions, batch.baseline, stop_after=stop_after)
    chosen = Params(precision="float32", **{"learning_rate": 1e-3, **params})
    return fit_batch(run, copy.deepcopy(model), batch, chosen), run


@pytest.fixture(scope="module")
def tuned():
    return fit(tiny_model())


def test_queries_of_the_trained_model_are_turned_and_items_are_not(tuned):
    model, _ = tuned
    trained, _ = fit(tiny_model(), query_map=0)
    assert map_of(trained) is None
    np.testing.assert_allclose(
        model.encode_document(ITEMS), trained.encode_document(ITEMS), atol=1e-6
    )
    np.testing.assert_allclose(model.encode(QUERIES), trained.encode_query(QUERIES), atol=1e-6)
    assert not np.allclose(model.encode_query(QUERIES), trained.encode_query(QUERIES), atol=1e-3)
    assert not np.allclose(trained.encode_query(QUERIES), tiny_model().encode_query(QUERIES))


def test_the_map_is_learned_after_the_last_step_and_how_far_it_goes_is_told(tuned):
    _, run = tuned
    assert run.logged[-1] == (run.expected + 1, {"query_map_step": 0.75})
    assert [step for step, _ in run.logged] == [*range(1, run.expected + 2)]


def test_a_map_of_an_earlier_iteration_is_held_in_training_and_averaged_with_the_new_one(tuned):
    before, _ = tuned
    trained, _ = fit(before, seed=1, query_map=0)
    assert torch.equal(map_of(trained), map_of(before))
    assert all(weight.requires_grad for weight in trained[-1].parameters())
    turned, _ = fit(before, seed=1, query_map=0.5)
    assert sum(isinstance(module, Dense) for module in turned.modules()) == 1
    bare, _ = fit(without_map(trained), seed=1, learning_rate=1e-9, query_map=1.0)
    half_way = (map_of(before) + map_of(bare)) / 2
    torch.testing.assert_close(map_of(turned), half_way, atol=2e-3, rtol=0)


def test_of_few_queries_no_map_is_learned(caplog):
    with caplog.at_level(logging.INFO):
        model, run = fit(tiny_model(), queries=12)
    assert map_of(model) is None
    assert "training queries have a click, and it takes 30" in caplog.text
    assert run.logged[-1][0] == run.expected


def test_a_model_that_can_have_no_map_is_trained_all_the_same(caplog, monkeypatch):
    model = tiny_model()
    monkeypatch.setattr(type(model), "get_embedding_dimension", lambda _: None)
    found, run = fit(model)
    assert "no query map is learned: The model does not tell" in caplog.text
    assert map_of(found) is None
    assert run.logged[-1][0] == run.expected


def test_whoever_stops_a_run_gets_what_was_trained_until_then():
    model, run = fit(tiny_model(), stop_after=2)
    assert map_of(model) is None
    assert [step for step, _ in run.logged] == [1, 2]


def test_pairs_are_turned_too():
    model, run = fit(tiny_model(), loss="pairs")
    assert map_of(model) is not None
    assert run.logged[-1][0] == run.expected + 1
