from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from hooktune.contract.sessions import Sessions
from hooktune.testing import tiny_model
from hooktune.training.scoring import score_results


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def sessions():
    """Three sessions, two of one query; two items have one text, and one is shown nowhere."""
    return Sessions(
        queries=pa.array(["bread", "apple bread", "used by no session"]),
        items=pa.array(["mango", "bread, sliced", "mango", "never shown", "violin piano"]),
        session_ids=pa.array(["a", "b", "c"]),
        query_index=np.array([1, 0, 1]),
        offsets=np.array([0, 3, 4, 6]),
        item_index=np.array([0, 1, 2, 4, 1, 0]),
        clicks=np.zeros(6, dtype=np.int32),
        rank=np.full(6, np.nan),
    )


@pytest.fixture
def encoded(model):
    """The token ids of every text that goes through the model, with their counts."""
    seen: Counter[tuple[int, ...]] = Counter()

    def record(module, args):
        features = args[0]
        for ids, mask in zip(features["input_ids"], features["attention_mask"], strict=True):
            seen[tuple(ids[mask.bool()].tolist())] += 1

    handle = model[0].register_forward_pre_hook(record)
    yield seen
    handle.remove()


def test_scores_are_the_cosines_of_each_query_and_item(model, sessions):
    scores = score_results(model, sessions)
    queries = sessions.query_index[sessions.session_index]
    for score, query, item in zip(scores, queries, sessions.item_index, strict=True):
        one = model.encode_query(sessions.queries[int(query)].as_py())
        other = model.encode_document(sessions.items[int(item)].as_py())
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert score == pytest.approx(cosine, abs=1e-5)
    assert scores.dtype == np.float32
    assert scores.shape == (6,)


def test_each_distinct_text_is_encoded_once(model, sessions, encoded):
    score_results(model, sessions)
    # 2 queries and 3 different texts of shown items.
    assert len(encoded) == 5
    assert set(encoded.values()) == {1}


def test_some_of_the_sessions_get_the_scores_they_have_among_all(model, sessions):
    some = np.array([2, 0])
    expected = score_results(model, sessions)[sessions.result_places(some)]
    np.testing.assert_allclose(score_results(model, sessions.take(some)), expected, atol=1e-6)
