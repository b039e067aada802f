"""MLflow servers of the tests' own."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mlflow_server(folder: Path, empty_store: Path) -> Iterator[str]:
    """Serve a new store in a folder, its artifacts under `served` too; gives the address."""
    shutil.copy(empty_store, folder / "mlflow.db")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--serve-artifacts",
        "--artifacts-destination", str(folder / "served"), "--workers", "1",
    ]  # fmt: skip
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        uri = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{uri}/health", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, (folder / "server.log").read_text()
                    time.sleep(0.1)
            yield uri
        finally:
            os.killpg(server.pid, 15)  # the server's own session: itself and its workers
            server.wait(timeout=30)
