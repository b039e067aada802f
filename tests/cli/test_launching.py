"""Several processes of one command: what their ends mean for the command's own."""

import sys
from pathlib import Path

import pytest

from hooktune.cli import launching
from hooktune.cli.launching import launch

UNTIL_TOLD = "trap 'exit 130' TERM; while :; do sleep 0.1; done"


@pytest.mark.parametrize(
    ("leading", "other", "status"),
    [
        ("exit 0", "exit 0", 0),
        ("exit 2", "exit 2", 2),
        ("exit 130", "exit 0", 130),
        ("exit 0", "exit 3", 1),
        (UNTIL_TOLD, "exit 3", 1),
        ("kill -9 $$", UNTIL_TOLD, 1),
    ],
)
def test_the_exit_status_is_that_of_the_first_process_unless_another_died(
    leading: str, other: str, status: int, tmp_path: Path, monkeypatch
):
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nif [ $RANK = 0 ]; then {leading}; else {other}; fi\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(launching, "_GRACE", 0.5)
    assert launch(["run"], 2) == status
