"""Processes that are killed, stopped, mistaken, or short of rights; clocks that jump."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from log_writers import write_json_lines
from tracked import SHIFT

import hooktune
from hooktune.data.release import open_batch
from hooktune.errors import ClaimLostError, HooktuneError
from hooktune.iteration.log_release import release_batch
from hooktune.processes import FileLock, describe_process, has_died
from hooktune.testing import made_up_log
from hooktune.tracking import RunRecord, Tracker, claims
from hooktune.tracking.outbox import outbox
from hooktune.tracking.outbox.spool import End, LogText, RunSpool

NOBODY: Final = 65534
NOTE: Final = LogText(text="what happened", file="notes.txt")
END: Final = End(status="FINISHED", failure=None, at=1)

fork = multiprocessing.get_context("fork")


def another(tracker: Tracker) -> Tracker:
    return Tracker(tracker.tracking_uri, tracker.spool_folder)


# Descriptions of processes that no process gave.

MISTAKEN: Final[dict[str, Any]] = {
    "nothing": "",
    "no JSON": "{",
    "a list": [],
    "a text": "process",
    "deep lists": "[" * 5000,
    "no id": {"pid": None},
    "an id that is a text": {"pid": "first"},
    "an id that is a list": {"pid": [1]},
    "all processes": {"pid": -1},
    "the own group": {"pid": 0},
    "an id of 400 digits": {"pid": 10**400},
    "an endless id": {"pid": float("inf")},
    "another machine": {"host": "elsewhere", "pid": 4194304},
    "another boot": {"began": "another 1", "pid": 4194304},
    "no boot": {"began": None, "pid": 4194304},
    "another space of ids": {"pid_space": "pid:[1]", "pid": 4194304},
    "a beginning that is a number": {"began": 7, "pid": 4194304},
}


@pytest.mark.parametrize("name", MISTAKEN)
def test_who_is_not_certainly_dead_counts_as_alive(name: str):
    given = MISTAKEN[name]
    if isinstance(given, dict):
        given = json.loads(describe_process()) | given
    assert not has_died(given if isinstance(given, str) else json.dumps(given))


# Clocks that are set back and forth.

HOUR: Final = 3600


@pytest.mark.parametrize(
    "jumps",
    [[-HOUR], [HOUR], [-HOUR, HOUR], [HOUR, -HOUR], [-24 * HOUR] * 3, [365 * 24 * HOUR, 0],
     [-HOUR, -1, 1, HOUR], [0, 0, 0]],
    ids=str,
)  # fmt: skip
def test_points_keep_their_order_however_the_clock_is_set(
    tracker: Tracker, run: RunRecord, jumps: list[int], monkeypatch: pytest.MonkeyPatch
):
    log, now = tracker.metric_log(run), time.time_ns
    log.add({"train_loss": 0.0}, step=1)
    for step, seconds in enumerate(jumps, start=2):
        monkeypatch.setattr(time, "time_ns", lambda: now() + seconds * 10**9)  # noqa: B023
        log.add({"train_loss": float(step)}, step=step)
    log.add({"train_loss": 99.0}, step=len(jumps) + 1)
    log.close()
    points = tracker.client.get_metric_history(run.run_id, "train_loss")
    by_time = sorted(points, key=lambda point: point.timestamp)
    assert [point.step for point in by_time] == [*range(1, len(jumps) + 2), len(jumps) + 1]
    assert len({point.timestamp for point in points}) == len(points)
    assert tracker.run(run.run_id).metrics["train_loss"] == 99.0


@pytest.mark.parametrize("hours", [-48, -1, 1, 48])
def test_no_claim_is_lost_or_won_by_setting_the_clock(
    tracker: Tracker, run: RunRecord, hours: int, monkeypatch: pytest.MonkeyPatch
):
    mine, theirs = (each.claims(tracker.iterations()[0]) for each in (tracker, another(tracker)))
    with mine.try_claim("key") as claim:
        assert theirs.try_claim("key") is None
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + hours * HOUR)
        assert theirs.try_claim("key") is None
        claim.check_before_writing()
    assert theirs.try_claim("key") is not None


# Processes that are killed and stopped.


@contextmanager
def child(deed: Callable[..., object], *given: object) -> Iterator[Any]:
    """Do something in a process of its own, which is killed at the end at the latest."""

    def do() -> None:
        # A command line that another test called in this process has left its own.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        deed(*given)

    process = fork.Process(target=do)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def hold(path: Path, ready: Any) -> None:
    assert FileLock(path).acquire(wait=True)
    ready.set()
    signal.pause()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_lock_is_let_go_by_whoever_dies(tmp_path: Path, number: signal.Signals):
    ready, lock = fork.Event(), FileLock(tmp_path / "lock")
    with child(hold, tmp_path / "lock", ready) as holder:
        assert ready.wait(60)
        assert not lock.acquire(wait=False)
        os.kill(holder.pid, signal.SIGSTOP)
        assert not lock.acquire(wait=False), "who is stopped is not dead"
        os.kill(holder.pid, number)
        os.kill(holder.pid, signal.SIGCONT)
        holder.join(60)
        assert lock.acquire(wait=False)


def die_at(deed: str, when: str) -> None:
    of = RunSpool if deed in ("clear", "drop_points", "hold") else outbox
    done = getattr(of, deed)

    def die(*given: Any, **named: Any) -> None:
        if when == "after":
            done(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(of, deed, die)


def sync_and_die(uri: str, spool: Path, deed: str, when: str) -> None:
    die_at(deed, when)
    Tracker(uri, spool).sync()


DEEDS: Final = ("hold", "deliver", "write_points", "perform", "clear")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("deed", DEEDS)
def test_a_delivery_that_is_killed_is_done_by_the_next_one(
    tracker: Tracker, run: RunRecord, deed: str, when: str
):
    from mlflow.entities import Metric

    spool = RunSpool(tracker.spool_folder / run.run_id)
    spool.add_points([Metric(SHIFT, 0.5, 10**12 * 2 + step, step) for step in (2, 3)])
    spool.add(NOTE)
    spool.add(END)
    spool.release()
    with child(sync_and_die, tracker.tracking_uri, tracker.spool_folder, deed, when) as dying:
        dying.join(120)
        assert dying.exitcode == -signal.SIGKILL
    assert [each.problem for each in tracker.sync()] in ([], [None])
    assert tracker.run(run.run_id).status == "FINISHED"
    assert tracker.metric_history(run, SHIFT) == [(1, 0.2), (2, 0.5), (3, 0.5)]
    assert tracker.sync() == []
    (iteration,) = tracker.iterations()
    tracker.claims(iteration).sweep()
    assert not claims.read_claims(tracker.client, iteration.experiment_id)


def claim_and_write(uri: str, ready: Any, awake: Any, told: Any) -> None:
    tracker = Tracker(uri)
    with tracker.claims(tracker.iterations()[0]).try_claim("key") as claim:
        ready.set()
        awake.wait()
        try:
            claim.check_before_writing()
            told.put("it wrote")
        except ClaimLostError:
            told.put("it gave up")


def test_a_process_that_is_stopped_for_longer_than_a_claim_lives_writes_no_more(
    tracker: Tracker, run: RunRecord, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(claims, "STALE_AFTER", 1.0)
    monkeypatch.setattr(claims, "RENEWED_EVERY", 0.3)
    ready, awake, told = fork.Event(), fork.Event(), fork.Queue()
    mine = tracker.claims(tracker.iterations()[0])
    with child(claim_and_write, tracker.tracking_uri, ready, awake, told) as sleeper:
        assert ready.wait(60)
        os.kill(sleeper.pid, signal.SIGSTOP)
        with mine.claimed("key") as claim:
            os.kill(sleeper.pid, signal.SIGCONT)
            awake.set()
            assert told.get(timeout=60) == "it gave up"
            claim.check()


# An ordinary user without rights.


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder that everybody may look into, and only its owner may change."""
    if os.geteuid() != 0:
        pytest.skip("only root may become an ordinary user")
    code = Path(sys.prefix), Path(hooktune.__file__)
    if not all(folder.stat().st_mode & 0o1 for each in code for folder in each.parents):
        pytest.skip("an ordinary user could not read the installed plugins")
    folder = Path(tempfile.mkdtemp(prefix="theirs-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_nobody(deed: Callable[..., object], *given: object) -> str:
    """Do something as an ordinary user; return what was said."""

    def do(told: Any) -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            deed(*given)
            told.put("done")
        except HooktuneError as error:
            told.put(str(error))
        except BaseException as error:
            told.put(f"raw {type(error).__name__}: {error}")

    told = fork.Queue()
    with child(do, told):
        return str(told.get(timeout=120))


@pytest.mark.parametrize("secret", ["log", "items"])
def test_a_file_that_may_not_be_read_is_named(theirs: Path, secret: str):
    paths = {}
    for name, rows in zip(("log", "items"), made_up_log(0), strict=True):
        paths[name] = write_json_lines(theirs / name, rows)
        paths[name].chmod(0o600 if name == secret else 0o644)
    (theirs / "open").mkdir(mode=0o777)
    said = as_nobody(release_batch, paths["log"], paths["items"], theirs / "open" / "batch")
    assert said == f"{paths[secret]} cannot be read: Permission denied."


def test_a_batch_in_a_folder_that_may_not_be_written_is_refused(theirs: Path):
    log, items = (
        write_json_lines(theirs / name, rows)
        for name, rows in zip(("log", "items"), made_up_log(0), strict=True)
    )
    before = set(theirs.iterdir())
    said = as_nobody(release_batch, log, items, theirs / "batch")
    assert said == f"{theirs}/batch cannot be written: Permission denied."
    assert set(theirs.iterdir()) == before


def test_what_cannot_be_delivered_nor_kept_is_told(theirs: Path):
    spool = RunSpool(theirs / "spool" / "run", "store")
    assert "Permission denied" in as_nobody(spool.add, NOTE)
    assert list(theirs.iterdir()) == []


def test_a_batch_of_somebody_else_is_read_and_not_changed(theirs: Path):
    log, items = (
        write_json_lines(theirs / name, rows)
        for name, rows in zip(("log", "items"), made_up_log(0), strict=True)
    )
    release_batch(log, items, theirs / "batch")
    assert as_nobody(open_batch, theirs / "batch") == "done"
    (theirs / "batch" / "items.parquet").chmod(0o600)
    assert "Permission denied" in as_nobody(open_batch, theirs / "batch")
    (theirs / "batch" / "manifest.json").chmod(0o600)
    assert "Permission denied" in as_nobody(open_batch, theirs / "batch")
