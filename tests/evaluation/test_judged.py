"""Judgements as a measure: over all items of the batch, for queries of the log and others."""

import numpy as np
import pytest

from hooktune.contract.sessions import Batch
from hooktune.contract.settings import Split
from hooktune.data.judgements import Judgements
from hooktune.errors import RequestError
from hooktune.evaluation.collection import Collection
from hooktune.evaluation.judged import judged_queries
from hooktune.testing import made_up_sessions, tiny_model
from hooktune.training.encoder import TextEncoder


@pytest.fixture(scope="module")
def batch() -> Batch:
    sessions = made_up_sessions()
    object_ids = sessions.items.take(np.arange(len(sessions.items)))
    return Batch("0" * 24, sessions, object_ids)


def split(train: list[int] | None = None, holdout: list[int] | None = None) -> Split:
    """All sessions not named are test sessions."""
    empty = np.empty(0, dtype=np.int64)
    return Split(np.array(train or empty), empty, np.array(holdout or empty))


def grades_of(batch: Batch) -> dict[str, dict[str, float]]:
    first, second, third = batch.object_ids.slice(0, 3).to_pylist()
    asked = batch.sessions.queries[0].as_py()
    return {
        asked: {first: 3, second: 1, "nowhere": 2},
        "asked by nobody": {third: 1},
        "nothing is relevant": {first: 0},
    }


def test_judged_queries_are_measured_over_all_items(batch: Batch):
    model = tiny_model()
    grades = grades_of(batch)
    judged = judged_queries(Judgements(grades, is_qrels=False), batch, split())
    collection = Collection(batch.sessions, TextEncoder(model), judged)
    found = collection.figures(
        collection.search(collection.embed(model, batch.sessions, "the model"))
    )

    items = model.encode_document(batch.sessions.items.to_pylist(), normalize_embeddings=True)
    expected = []
    for query, of_query in grades.items():
        similarities = model.encode_query(query, normalize_embeddings=True) @ items.T
        top = batch.object_ids.take(np.argsort(-similarities, kind="stable")[:10]).to_pylist()
        discounts = 1 / np.log2(np.arange(2, 12))
        ideal = sorted((of_query[name] for name in of_query if name != "nowhere"), reverse=True)
        reached = sum(of_query.get(name, 0) * by for name, by in zip(top, discounts, strict=True))
        best = sum(grade * by for grade, by in zip(ideal, discounts, strict=False))
        expected.append(reached / best if best else np.nan)
    np.testing.assert_allclose(found.per_judged_query, expected)
    assert found.metrics["judged_ndcg_at_10"] == pytest.approx(np.nanmean(expected))


def test_judgements_that_measure_nothing_are_refused(batch: Batch):
    item = batch.object_ids[0].as_py()
    for grades in ({"hat": {"nowhere": 1.0}}, {"hat": {item: 0.0}}):
        with pytest.raises(RequestError, match="is in the batch"):
            judged_queries(Judgements(grades, is_qrels=False), batch, split())
    with pytest.raises(RequestError, match="name queries by their texts, not by numbers"):
        judged_queries(Judgements({"301": {item: 1.0}}, is_qrels=True), batch, split())


def test_queries_that_are_trained_on_or_held_out_are_left_out(batch: Batch):
    item = batch.object_ids[0].as_py()
    asked = batch.sessions.queries.take(batch.sessions.query_index[:3]).to_pylist()
    assert len(set(asked)) == 3
    grades = {asked[0].upper(): {item: 1.0}, asked[1]: {item: 1.0}, asked[2]: {item: 1.0}}
    found = judged_queries(Judgements(grades, is_qrels=False), batch, split([0], [1]))
    assert found.queries.to_pylist() == [asked[2]]
    with pytest.raises(RequestError, match="All 3 judged queries are trained on, or kept as"):
        judged_queries(Judgements(grades, is_qrels=False), batch, split([0, 2], [1]))
