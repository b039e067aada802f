"""Results are counted by their similarity."""

import numpy as np

from hooktune.evaluation.similarities import count_similarities
from hooktune.testing import made_up_sessions


def test_results_are_counted_by_similarity_clicked_and_others_apart():
    sessions = made_up_sessions()
    scores = np.where(sessions.clicked, 0.506, -0.204).astype(np.float32)
    scores[:3] = [np.nan, 1.0000001, -1.0000001]
    counted = count_similarities(sessions, scores)
    assert counted.clicked.sum() + counted.others.sum() == sessions.result_count - 1
    assert counted.clicked.argmax() == 301
    assert counted.others.argmax() == 159
