"""Progress bars, for a terminal alone."""

import os
import pty
import select
import sys

from hooktune.progress import RunBar, is_shown


def use_a_bar() -> None:
    with RunBar("run 1/2") as bar:
        bar.expect(10)
        bar.show(10, 0.1234)


def test_nothing_is_shown_where_no_terminal_is(capfd):
    assert not is_shown()
    use_a_bar()
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_how_far_the_run_is_and_its_loss(monkeypatch):
    here, there = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with os.fdopen(there, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert is_shown()
        use_a_bar()
        terminal.flush()
        shown = ""
        while select.select([here], [], [], 0)[0]:
            shown += os.read(here, 4096).decode()
    os.close(here)
    assert "run 1/2" in shown
    assert "10/10" in shown
    assert "loss 0.1234" in shown
