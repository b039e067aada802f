"""Measuring over all items of a batch, against sorting them all."""

import numpy as np
import pytest

from hooktune.evaluation import collection as module
from hooktune.evaluation.collection import Collection, standard_error
from hooktune.testing import made_up_sessions, tiny_model
from hooktune.training.encoder import TextEncoder


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def encoder(model) -> TextEncoder:
    return TextEncoder(model)


@pytest.fixture(scope="module")
def sessions():
    return made_up_sessions(sessions=60, queries=30, items=150)


def measured(collection: Collection, model):
    embedded = collection.embed(model, collection.sessions, "the model")
    return collection.figures(collection.search(embedded))


def by_hand(model, sessions) -> dict[str, np.ndarray]:
    """The metrics of each clicked session, from the ranks of all items."""
    queries = model.encode_query(sessions.queries.to_pylist(), normalize_embeddings=True)
    items = model.encode_document(sessions.items.to_pylist(), normalize_embeddings=True)
    figures = {name: [] for name in ("recall_at_10", "recall_at_100", "ndcg_at_10", "mrr_at_100")}
    for session in np.flatnonzero(sessions.not_irrelevant):
        results = slice(*sessions.offsets[session : session + 2])
        clicked = set(sessions.item_index[results][sessions.clicked[results]])
        order = np.argsort(-(queries[sessions.query_index[session]] @ items.T), kind="stable")
        ranks = [rank for rank, item in enumerate(order, start=1) if item in clicked]
        ideal = sum(1 / np.log2(1 + rank) for rank in range(1, min(len(clicked), 10) + 1))
        figures["recall_at_10"].append(sum(rank <= 10 for rank in ranks) / len(clicked))
        figures["recall_at_100"].append(sum(rank <= 100 for rank in ranks) / len(clicked))
        gained = sum(1 / np.log2(1 + rank) for rank in ranks if rank <= 10)
        figures["ndcg_at_10"].append(gained / ideal)
        figures["mrr_at_100"].append(1 / ranks[0] if ranks[0] <= 100 else 0)
    return {f"test_collection_{name}": np.array(values) for name, values in figures.items()}


def test_clicked_items_are_ranked_among_all_items(model, encoder, sessions):
    found, expected = measured(Collection(sessions, encoder), model), by_hand(model, sessions)
    assert found.metrics == pytest.approx({name: of.mean() for name, of in expected.items()})
    for name, values in expected.items():
        of_sessions = found.per_session[name]
        np.testing.assert_allclose(of_sessions[sessions.not_irrelevant], values)
        assert np.isnan(of_sessions[~sessions.not_irrelevant]).all()
    assert 0 < found.metrics["test_collection_recall_at_10"] < 1
    assert found.per_judged_query is None


def test_of_too_many_queries_a_sample_is_measured_with_its_error(
    model, encoder, sessions, monkeypatch
):
    whole = measured(Collection(sessions, encoder), model)
    monkeypatch.setattr(module, "_SIMILARITIES", 12 * len(sessions.items))
    monkeypatch.setattr(module, "_FEWEST_QUERIES", 1)
    sampled = Collection(sessions, encoder, seed=1)
    assert len(sampled.queries) == 12
    found = measured(sampled, model)
    name = "test_collection_mrr_at_100"
    known = ~np.isnan(found.per_session[name])
    np.testing.assert_array_equal(found.per_session[name][known], whole.per_session[name][known])
    assert set(sessions.query_index[known]) == set(sampled.queries)
    assert found.metrics[name] == pytest.approx(found.per_session[name][known].mean())
    assert 0 < found.metrics[f"{name}_standard_error"] < 0.2
    assert not any(name.endswith("_standard_error") for name in whole.metrics)


def test_the_standard_error_is_that_of_a_mean_over_queries():
    values, query = np.array([0.0, 1.0, 0.5, np.nan]), np.array([3, 4, 5, 6])
    # One session a query: s / sqrt(n), and less where a part of the queries is left out only.
    assert standard_error(values, query, 0) == pytest.approx(0.5 / np.sqrt(3))
    assert standard_error(values, query, 0.75) == pytest.approx(0.25 / np.sqrt(3))
    # Sessions of one query tell as much as one of them.
    doubled = standard_error(np.repeat(values, 2), np.repeat(query, 2), 0)
    assert doubled == pytest.approx(0.5 / np.sqrt(3))
