"""Workers of one command: what is told of them, and what their ends mean for the command's own."""

import sys
from pathlib import Path

import pytest

from hooktune.cli import workers
from hooktune.cli.group import Context
from hooktune.cli.workers import Workers, run_workers
from hooktune.contract.launching import Resources
from hooktune.errors import RequestError

LOST = "kill -9 $$"


@pytest.fixture
def run_scripts(tmp_path: Path, monkeypatch):
    """Runs shell scripts in place of workers; returns the exit status."""

    def run(*scripts: str, max_runs: int = 9) -> int:
        cases = "".join(f"{number}) {text} ;;\n" for number, text in enumerate(scripts, start=1))
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\ncase $HOOKTUNE_WORKER in\n{cases}esac\n")
        script.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(script))
        context = Context("sqlite:///a.db", (), None, ("run",))
        return run_workers(context, Workers(len(scripts), None, Resources()), [], max_runs)

    return run


@pytest.mark.parametrize(
    ("one", "two", "status"),
    [
        ("exit 0", "exit 0", 0),
        ("exit 2", "exit 2", 2),
        (LOST, "exit 0", 0),
        ("exit 0", "exit 3", 0),
        (LOST, LOST, 1),
        ("exit 1", "exit 130", 1),
    ],
)
def test_the_work_is_done_where_one_worker_found_it_done(one, two, status, run_scripts):
    assert run_scripts(one, two) == status


def test_what_workers_say_is_told_with_their_numbers_and_once_what_they_say_alike(
    run_scripts, capsys
):
    assert run_scripts("echo alike; echo one; echo one", "sleep 0.5; echo alike; exit 4") == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "worker 1: alike", "worker 1: one", "worker 1: one",
        "worker 2 has failed with exit status 4; no other is left.",
    ]  # fmt: skip


def test_no_more_workers_are_started_than_there_are_runs(run_scripts, capsys):
    assert run_scripts("exit 0", "exit 5", max_runs=1) == 0
    assert capsys.readouterr().err == "1 workers are enough for 1 runs at most.\n"


def test_a_worker_that_hangs_is_ended_by_force_when_another_is_done(run_scripts, monkeypatch):
    monkeypatch.setattr(workers, "_AFTER_THE_FIRST", 0.5)
    monkeypatch.setattr(workers, "_GRACE", 0.5)
    assert run_scripts("exit 0", "trap '' TERM; while :; do sleep 0.1; done") == 0


def test_a_worker_has_the_store_by_its_environment_and_its_share_of_the_machine(
    run_scripts, capsys, monkeypatch
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6")
    assert run_scripts(
        'echo "$HOOKTUNE_TRACKING_URI $CUDA_VISIBLE_DEVICES $# $1 $2 $3"',
        "sleep 0.5; echo $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS",
    ) == 0  # fmt: skip
    one, two = capsys.readouterr().err.splitlines()
    assert one == "worker 1: sqlite:///a.db 3 3 -m hooktune run"
    gpu, cores = two.removeprefix("worker 2: ").split()
    assert gpu == "5"
    assert int(cores) >= 1


def test_a_launcher_that_is_not_there_is_refused():
    context = Context(None, (), None, ("run",))
    with pytest.raises(RequestError, match=r"no launcher 'lokal'\. Did you mean 'local'"):
        run_workers(context, Workers(2, "lokal", Resources()), [], 9)
