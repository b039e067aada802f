import logging

import pytest
from tracked import METHOD, begin, finish

from hooktune import open_batch
from hooktune.data.summary import summary_of
from hooktune.iteration.familiar import remember, warn_of_another_log
from hooktune.tracking import Tracker
from hooktune.tracking.batch_summaries import SUMMARY_TAG


def test_a_log_that_does_not_look_like_the_last_is_warned_of(store_uri, make_batch, caplog):
    tracker = Tracker(store_uri)
    last, same = (summary_of(open_batch(make_batch(seed, sessions=200))) for seed in (1, 2))
    other = summary_of(open_batch(make_batch(3, sessions=200, results=4)))
    warn_of_another_log(tracker, METHOD, last)
    iteration = begin(tracker, 1)
    remember(tracker, iteration, last)
    tracker.finish_iteration(iteration)
    with caplog.at_level(logging.WARNING, "hooktune"):
        warn_of_another_log(tracker, METHOD, last)
        warn_of_another_log(tracker, "Another Method", other)
        warn_of_another_log(tracker, METHOD, same)
        assert "does not look like" not in caplog.text
        warn_of_another_log(tracker, METHOD, other)
    assert "results shown in a session: 8.0 before, 4.0 now" in caplog.text


@pytest.mark.parametrize("text", [None, "{}", "nothing"])
def test_what_was_not_recorded_or_edited_warns_of_nothing(store_uri, make_batch, caplog, text):
    tracker = Tracker(store_uri)
    iteration = finish(tracker, 1)
    if text is not None:
        tracker.client.set_experiment_tag(iteration.experiment_id, SUMMARY_TAG, text)
    warn_of_another_log(tracker, METHOD, summary_of(open_batch(make_batch())))
    assert "does not look like" not in caplog.text
