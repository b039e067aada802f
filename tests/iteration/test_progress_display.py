"""How progress is shown: bars in a terminal, lines elsewhere."""

import os
import pty
import select
import sys
import time

import pytest

from hooktune.iteration.progress_display import Bars, Lines, describe
from hooktune.progress import PhaseProgress, StepProgress, StepReporter, listening, phase


def test_a_terminal_shows_how_far_the_run_is_and_its_loss(monkeypatch):
    here, there = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with os.fdopen(there, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        bars = Bars()
        assert not bars.print_above("no bar is there yet")
        with listening(bars), StepReporter("run [1/2]") as steps:
            steps.expect(10)
            with phase("encoding items", 7):
                steps.show(10, 0.1234)
            time.sleep(0.2)  # it is drawn ten times in a second
            assert bars.print_above("a message")
        bars.close()
        terminal.flush()
        shown = ""
        while select.select([here], [], [], 0)[0]:
            shown += os.read(here, 4096).decode()
    os.close(here)
    for part in ("run [1/2]", "10/10", "loss 0.1234", "a message"):
        assert part in shown
    assert "no bar is there yet" not in shown


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_phase_is_named_after_two_seconds_and_then_every_thirty(said: list[str]):
    lines = Lines(said.append)
    lines(PhaseProgress("encoding items by the starting model", 0, 983))
    now = time.monotonic()
    lines.say_what_is_due(now + 1)
    assert said == []
    lines.say_what_is_due(now + 3)
    lines(PhaseProgress("encoding items by the starting model", 400, 983))
    lines.say_what_is_due(now + 31)
    assert said == ["encoding items by the starting model: 983"]
    lines.say_what_is_due(now + 41)
    assert said[1].startswith("encoding items by the starting model: 400 of 983, ")
    assert said[1].endswith(" s left")
    lines(PhaseProgress("encoding items by the starting model", ended=True))
    lines.say_what_is_due(now + 99)
    assert len(said) == 2
    lines.close()


def test_a_run_tells_every_thirty_seconds_where_it_is(said: list[str]):
    lines = Lines(said.append)
    now = time.monotonic()
    lines(StepProgress("run 1/2", 0, None, float("nan")))
    lines(StepProgress("run 1/2", 5, 10, 0.25))
    lines.say_what_is_due(now + 20)
    assert said == []
    lines.say_what_is_due(now + 60)
    (line,) = said
    assert line.startswith("run 1/2: step 5 of 10, loss 0.2500, ")
    assert line.endswith(" left")
    lines.close()


def test_what_lies_within_a_phase_that_has_ended_is_not_told_of_any_more(said: list[str]):
    lines = Lines(said.append)
    lines(PhaseProgress("outer"))
    lines(PhaseProgress("inner"))
    lines(PhaseProgress("outer", ended=True))
    lines.say_what_is_due(time.monotonic() + 99)
    lines.close()
    assert said == []


def test_time_is_told_in_minutes_where_it_is_long():
    assert describe(PhaseProgress("encoding", 10, 100), 20) == "encoding: 10 of 100, 3 min 0 s left"
    assert describe(PhaseProgress("loading the model"), 20) == "loading the model"
