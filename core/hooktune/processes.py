"""Which process a run belongs to, so that one left behind by a dead process can be told."""

import ctypes
import fcntl
import gc
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

logger = logging.getLogger(__name__)

Part = TypeVar("Part")

_GIVE_BACK_EVERY: Final = 2.0  # seconds: it takes 0.01 to 0.05, and as long to get it again

WORKER_VARIABLE: Final = "HOOKTUNE_WORKER"
"""Holds the number of a worker that somebody launched."""
SHARED_VARIABLE: Final = "HOOKTUNE_SHARED"
"""Names a folder in which the workers of one machine keep what one computes for all."""


def describe_process(pid: int | None = None) -> str:
    """Describe a process, by default this one: its machine, its id, and when it began.

    Of this process it is also told which worker it is, where it is one.
    """
    worker = os.environ.get(WORKER_VARIABLE) if pid is None else None
    pid = os.getpid() if pid is None else pid
    return json.dumps(
        {
            "host": socket.gethostname(),
            "pid_space": _pid_space(),
            "pid": pid,
            "began": _beginning(pid),
            **({"worker": worker} if worker else {}),
        },
        sort_keys=True,
    )


def has_died(process: str | None) -> bool:
    """Tell whether a described process was one of this machine, since its boot, and is gone.

    A process of another machine, or one that was not described, counts as alive. So does one of
    another boot: machines made from one image have one name, and number their process ids alike.
    """
    try:
        where = json.loads(process or "{}")
        if where.get("host") != socket.gethostname():
            return False
        if where.get("pid_space", _pid_space()) != _pid_space():
            return False
        pid, began = int(where["pid"]), where.get("began")
        if (began and began.rpartition(" ")[0]) != _boot():
            return False
        if pid <= 0:  # those stand for groups of processes
            return False
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except Exception:  # anybody may have edited the description: who can't be told counts as alive
        return False
    # Ids come back soon in containers, where the same program gets the same one at every start.
    return began is not None and began != _beginning(pid)


class FileLock:
    """A lock of the system on a file or a folder, which a process that dies lets go.

    Args:
        path: A folder that is there, so that nothing is left behind, or a file, which is made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds it."""
        return self._descriptor is not None

    def acquire(self, *, wait: bool) -> bool:
        """Take it, unless this object has it already; without waiting, False where it is taken.

        Raises:
            FileNotFoundError: The folder is gone that the path is in.
        """
        while not self.is_held:
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Who held it before may have removed the file, and a third one made it anew.
                if self._is_at_path(descriptor):
                    self._descriptor = descriptor
            except BlockingIOError:
                return False
            finally:
                if not self.is_held:
                    os.close(descriptor)
        return True

    def release(self) -> None:
        """Let it go, if this object holds it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        # Some network file systems lock only what is open for writing, which a folder cannot be.
        flags = os.O_RDONLY if self._path.is_dir() else os.O_RDWR | os.O_CREAT
        return os.open(self._path, flags | os.O_CLOEXEC, 0o600)

    def _is_at_path(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder among the temporary files, and delete it; its name tells whose it is.

    It is locked meanwhile, as a process of another version of hooktune may read its name otherwise.
    """
    with tempfile.TemporaryDirectory(prefix=_scratch_prefix(os.getpid())) as folder:
        lock = FileLock(Path(folder))
        with suppress(OSError):  # where the file system has no locks
            lock.acquire(wait=False)
        try:
            yield Path(folder)
        finally:
            lock.release()


def sweep_scratch() -> None:
    """Delete the temporary folders that processes of this machine left behind when they died."""
    for folder in Path(tempfile.gettempdir()).glob("hooktune-*-*-*-*"):
        name = re.fullmatch(r"(hooktune-\w+-(\d+)-\w+-)\w+", folder.name)
        here = name and name[1].startswith(_here())
        if not name or not here or folder.is_symlink() or not folder.is_dir():
            continue
        if name[1] != _scratch_prefix(int(name[2])) and not _is_locked(folder):
            logger.info("removing %s, which a process that is gone has left behind", folder)
            shutil.rmtree(folder, ignore_errors=True)


def _is_locked(folder: Path) -> bool:
    lock = FileLock(folder)
    try:
        return not lock.acquire(wait=False)
    except OSError:  # somebody else's
        return True
    finally:
        lock.release()


def _scratch_prefix(pid: int) -> str:
    """Return how the names of a process's temporary folders begin, as long as it lives."""
    return f"{_here()}{pid}-{_digest(describe_process(pid)) if _is_there(pid) else 'gone'}-"


def _here() -> str:
    return f"hooktune-{_digest(f'{socket.gethostname()} {_pid_space()}')}-"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _pid_space() -> str | None:
    """Return which process ids are meant: two containers may call themselves by one name."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _beginning(pid: int) -> str | None:
    """Return when a process began, in ticks since a boot; None where the system does not tell."""
    boot = _boot()
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name, in brackets, may hold blanks; the 22nd field is the 20th after it.
    return boot and f"{boot} {status.rpartition(')')[2].split()[19]}"


def _boot() -> str | None:
    """Return the id of the boot of this machine; None where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def giving_back_memory(work: Iterable[Part]) -> Iterator[Part]:
    """Yield what is to be done, and give memory back every two seconds of it.

    Work on texts of many lengths leaves gaps that nothing later fits into.
    """
    given_back = time.monotonic()
    for each in work:
        yield each
        if time.monotonic() > given_back + _GIVE_BACK_EVERY:
            give_back_memory()
            given_back = time.monotonic()


def give_back_memory(*, collected: bool = False) -> None:
    """Give the system what memory this process has freed and keeps for itself, where it is glibc's.

    After a training that is as much as a step has held, and the next thing may not need it.

    Args:
        collected: Whether what nothing but itself refers to is freed before, such as models with
            their cards. To look for it takes half a second.
    """
    if collected:
        gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
