"""Ranking quality over a collection, worked by hand."""

import numpy as np
import pytest

from hooktune.evaluation.retrieval import Relevance, ndcg, recall, reciprocal_rank

NOTHING = -1


def relevance(*grades: dict[int, float]) -> Relevance:
    """A row for each of some dicts of grades by items."""
    pairs = [(row, item, grade) for row, of in enumerate(grades) for item, grade in of.items()]
    row, item, grade = (np.array(column) for column in zip(*pairs, strict=True))
    return Relevance(len(grades), row, item, grade.astype(float))


def test_ndcg_is_that_of_trec_eval():
    # trec_eval's ndcg_cut: gains are the grades themselves, the discount is log2(rank + 1), and the
    # ideal ranking holds all that is judged, found or not.
    judged = relevance({7: 3, 4: 2, 9: 1, 2: 0, 5: -2})
    top = np.array([[4, 2, 7, 5]])
    reached = 2 / 1 + 0 + 3 / 2 + 0
    ideal = 3 / 1 + 2 / np.log2(3) + 1 / 2
    assert ndcg(top, judged, 10) == pytest.approx([reached / ideal])
    assert ndcg(top, judged, 10)[0] == pytest.approx(0.73501, abs=1e-5)
    assert ndcg(top, judged, 2) == pytest.approx([2 / (3 + 2 / np.log2(3))])


def test_each_row_has_what_is_relevant_to_it():
    clicked = relevance({0: 1, 1: 1}, {5: 1}, {3: 0})
    top = np.array([[1, 5, 0, NOTHING], [0, 1, 2, 5], [3, 0, 1, 2]])
    np.testing.assert_allclose(recall(top, clicked, 2), [0.5, 0, np.nan])
    np.testing.assert_allclose(recall(top, clicked, 4), [1, 1, np.nan])
    np.testing.assert_allclose(reciprocal_rank(top, clicked), [1, 0.25, np.nan])
    np.testing.assert_allclose(
        ndcg(top, clicked, 4), [1.5 / (1 + 1 / np.log2(3)), 1 / np.log2(5), np.nan]
    )


def test_nothing_is_found_where_no_item_is_relevant():
    nothing = Relevance(2, np.empty(0, int), np.empty(0, int), np.empty(0))
    top = np.array([[0, 1], [1, 0]])
    for values in (ndcg(top, nothing, 2), recall(top, nothing, 2), reciprocal_rank(top, nothing)):
        assert np.isnan(values).all()
