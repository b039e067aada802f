"""Which process a run belongs to, so that one left behind by a dead process can be told."""

import json
import os
import socket
from pathlib import Path


def describe_process() -> str:
    """Describe this process: its machine, its id, and when it began."""
    pid = os.getpid()
    return json.dumps(
        {
            "host": socket.gethostname(),
            "pid_space": _pid_space(),
            "pid": pid,
            "began": _beginning(pid),
        }
    )


def has_died(process: str | None) -> bool:
    """Tell whether a described process was one of this machine and is gone.

    A process of another machine, or one that was not described, counts as alive.
    """
    try:
        where = json.loads(process or "{}")
        if where.get("host") != socket.gethostname():
            return False
        if where.get("pid_space", _pid_space()) != _pid_space():
            return False
        pid, began = int(where["pid"]), where.get("began")
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (ValueError, TypeError, KeyError, AttributeError, OSError):
        return False
    # Ids come back soon in containers, where the same program gets the same one at every start.
    return began is not None and began != _beginning(pid)


def _pid_space() -> str | None:
    """Return which process ids are meant: two containers may call themselves by one name."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _beginning(pid: int) -> str | None:
    """Return when a process began, in ticks since a boot; None where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name, in brackets, may hold blanks; the 22nd field is the 20th after it.
    return f"{boot} {status.rpartition(')')[2].split()[19]}"
