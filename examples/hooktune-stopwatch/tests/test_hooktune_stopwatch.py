import hooktune_stopwatch
import numpy as np

from hooktune.testing import check_extension, made_up_sessions


def test_it_keeps_the_contract_of_an_extension():
    check_extension(hooktune_stopwatch)


def test_recall_counts_the_clicks_among_the_five_highest_scores():
    sessions = made_up_sessions()
    best = hooktune_stopwatch.compute_metrics(sessions, sessions.clicked.astype(float))
    worst = hooktune_stopwatch.compute_metrics(sessions, -sessions.clicked.astype(float))
    assert best["recall_at_5"] == 1
    assert worst["recall_at_5"] < 0.5
    equal = hooktune_stopwatch.compute_metrics(sessions, np.zeros(sessions.result_count))
    assert 0 <= equal["recall_at_5"] < 1
