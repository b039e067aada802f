"""BM25 against its formula, worked by hand."""

import numpy as np

from hooktune.evaluation.lexical import Bm25


def test_scores_follow_the_formula():
    bm25 = Bm25(["Red shoes, red!", "blue shoes", "a red hat and a coat"])
    scores = bm25.scores(["RED shoes", "red red", "unknown", ""])
    lengths, mean = np.array([3, 2, 6]), 11 / 3

    def part(frequencies: list[int], having: int) -> np.ndarray:
        count = np.array(frequencies)
        idf = np.log(1 + (3 - having + 0.5) / (having + 0.5))
        return idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * lengths / mean))

    red, shoes = part([2, 0, 1], 2), part([1, 1, 0], 2)
    np.testing.assert_allclose(scores, [red + shoes, 2 * red, red * 0, red * 0], rtol=1e-5)
    assert scores.dtype == np.float32


def test_texts_without_a_word_score_nothing():
    assert Bm25(["!", ""]).scores(["hat"]).tolist() == [[0, 0]]
