"""Starts the command again in several processes, one for each device."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

_GRACE: Final = 20.0  # seconds: what a process may take to end once the others have
_LOOK_EVERY: Final = 0.1  # seconds
_INTERRUPTED: Final = 130  # as Python's own exit status of a process that Ctrl-C has ended


def launch(arguments: Sequence[str], devices: int, tracking_uri: str | None = None) -> int:
    """Run `hooktune` with some arguments in several processes that train together.

    They are told about each other as `torchrun` does it. When one of them dies, so do the others.

    Args:
        arguments: The command line.
        devices: How many processes.
        tracking_uri: The store, where the command line named one. It goes by the environment, as
            everybody on the machine may read arguments, and a password in them.

    Returns:
        The exit status of the leading process.
    """
    threads = str(max((os.cpu_count() or 1) // devices, 1))
    common = {
        "OMP_NUM_THREADS": threads,
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(devices),
        "LOCAL_WORLD_SIZE": str(devices),
        **({"HOOKTUNE_TRACKING_URI": tracking_uri} if tracking_uri else {}),
    }
    command = [sys.executable, "-m", "hooktune", *arguments]
    processes = [
        subprocess.Popen(command, env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(devices)
    ]
    try:
        while processes[0].poll() is None and not any(process.poll() for process in processes):
            time.sleep(_LOOK_EVERY)
        _wait(processes)
    finally:
        for process in processes:
            process.terminate()
        _wait(processes)
        for process in processes:
            process.kill()
            process.wait()
    leading, *others = (process.returncode for process in processes)
    # One that was stopped because another one died has not been interrupted by anybody.
    return 1 if leading < 0 or (leading in (0, _INTERRUPTED) and any(others)) else leading


def _wait(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    deadline = time.monotonic() + _GRACE
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
