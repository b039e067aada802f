"""An MLflow server for the tests, which can be ended and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class MlflowServer:
    """`mlflow server` on this machine, which serves the artifacts too.

    Args:
        backend: The address of its database.
        artifacts: Where it keeps artifacts: a folder or an s3:// address.
        log: The file for what it says.
        environment: What else its environment holds.
    """

    def __init__(
        self, backend: str, artifacts: str, log: Path, environment: dict[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._arguments = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
            "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", backend, "--artifacts-destination", artifacts,
        ]  # fmt: skip
        inherited = {key: value for key, value in os.environ.items() if key[:6] != "PYTEST"}
        self._environment = {
            **inherited,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments,
                stdout=log, stderr=log, env=self._environment, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.process and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise AssertionError(self._log.read_text(encoding="utf-8", errors="replace")[-3000:])

    def stop(self) -> None:
        """End it at once, with all of its processes."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
