"""What is reported of the work while it is done."""

import math

import pytest

from hooktune.progress import (
    PhaseProgress,
    Progress,
    StepProgress,
    StepReporter,
    listening,
    phase,
    track,
)


def test_a_phase_tells_that_it_begins_and_that_it_has_ended_even_when_it_fails():
    heard: list[Progress] = []
    with listening(heard.append), pytest.raises(OSError, match="full"), phase("loading the model"):
        raise OSError("the disk is full")
    assert heard == [
        PhaseProgress("loading the model"),
        PhaseProgress("loading the model", ended=True),
    ]


def test_what_is_gone_through_is_counted_by_its_size():
    heard: list[Progress] = []
    with listening(heard.append):
        assert list(track(["ab", "c"], [2, 1], "encoding")) == ["ab", "c"]
    assert [(each.done, each.total) for each in heard if not each.ended] == [(0, 3), (2, 3), (3, 3)]


def test_a_run_tells_its_steps_and_its_loss():
    heard: list[Progress] = []
    with listening(heard.append), StepReporter("run 1/2") as steps:
        steps.expect(10)
        steps.show(1, 0.5)
    begun, stepped, ended = heard
    assert math.isnan(begun.loss)
    assert stepped == StepProgress("run 1/2", 1, 10, 0.5)
    assert ended == PhaseProgress("run 1/2", ended=True)


def test_only_who_listens_at_the_time_hears_of_it():
    outer: list[Progress] = []
    inner: list[Progress] = []
    with listening(outer.append):
        with listening(inner.append), phase("one"):
            pass
        with phase("two"):
            pass
    with phase("three"):
        pass
    assert [heard.phase for heard in outer] == ["one", "one", "two", "two"]
    assert [heard.phase for heard in inner] == ["one", "one"]
