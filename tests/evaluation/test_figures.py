"""The pictures that a run's page shows."""

import io

import numpy as np
import pytest
from tracked import SHIFT, begin, start_run

from hooktune.evaluation.figures import (
    EVALUATIONS_FILE,
    SIMILARITIES_FILE,
    draw_evaluations,
    draw_run,
    draw_similarities,
)
from hooktune.evaluation.similarities import Similarities, count_similarities
from hooktune.testing import made_up_sessions
from hooktune.tracking import Tracker

PNG = b"\x89PNG"


def png(figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


@pytest.mark.parametrize("count", [0, 1, 500])
def test_similarities_are_drawn_however_few_there_are(count: int):
    random = np.random.default_rng(0)
    sessions = made_up_sessions()
    scores = random.uniform(0.1, 0.4, sessions.result_count)
    before = count_similarities(sessions, scores)
    empty = Similarities(np.zeros(400, int), np.zeros(400, int))
    after = count_similarities(sessions, scores + 0.3) if count else empty
    figure = draw_similarities(before if count > 1 else empty, after)
    assert png(figure).startswith(PNG)
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["starting model", "this run"]


def test_evaluations_are_drawn_beside_the_starting_model():
    histories = {"test_mrr": [(0, 0.2), (5, 0.4)], "test_$x^2$": [(5, 1.0)], "never": []}
    figure = draw_evaluations(histories, {"test_mrr": 0.3})
    assert png(figure).startswith(PNG)
    first, *others = figure.axes
    assert [text.get_text() for text in first.get_legend().get_texts()] == [
        "this run",
        "starting model, 0.3000",
    ]
    assert all(len(panel.get_lines()) == 1 for panel in others)


def test_the_figures_are_artifacts_of_the_run_and_a_failure_only_warns(
    store_uri: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    tracker = Tracker(store_uri)
    iteration = begin(tracker)
    run = start_run(tracker, iteration, 0.2)
    sessions = made_up_sessions()
    counted = count_similarities(sessions, np.full(sessions.result_count, 0.3))
    draw_run(tracker, iteration, run, counted, counted)
    drawn = {each.path for each in tracker.client.list_artifacts(run.run_id, "figures")}
    assert drawn == {SIMILARITIES_FILE, EVALUATIONS_FILE}
    assert tracker.metric_history(run, SHIFT) == [(1, 0.2)]

    monkeypatch.setattr(tracker.client, "log_figure", lambda *_: 1 / 0)
    draw_run(tracker, iteration, run, counted, counted)
    assert "figures of run" in caplog.text
