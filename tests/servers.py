"""Servers for the tests, which can be ended and started again: MLflow and PostgreSQL."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from ports import free_port
from warm_python import WarmPython

# `mlflow server` starts a second Python for the server itself, which would import MLflow again.
_SERVE = """
import os, runpy, sys, uvicorn
import mlflow.server

def serve_here(command, extra_env, **_):
    os.environ.update(extra_env)
    sys.argv = command[command.index("uvicorn"):]
    runpy.run_module("uvicorn", run_name="__main__")
    sys.exit()

log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.dup2(log, 1)
os.dup2(log, 2)
mlflow.server._exec_cmd = serve_here
sys.argv = ["mlflow", "server", *sys.argv[2:]]
runpy.run_module("mlflow", run_name="__main__")
"""


class MlflowServer:
    """`mlflow server` on this machine, which serves the artifacts too.

    As a context manager it answers within the block, and has ended after it.

    Args:
        backend: The address of its database.
        artifacts: Where it keeps artifacts: a folder or an s3:// address.
        log: The file for what it says.
        environment: What else its environment holds.
        app: The app of MLflow that guards it, such as `basic-auth`; by default none does.
    """

    def __init__(
        self,
        backend: str,
        artifacts: str,
        log: Path,
        environment: dict[str, str] | None = None,
        app: str | None = None,
    ) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._arguments = [
            "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", backend, "--artifacts-destination", artifacts,
            *(["--app-name", app] if app else []),
        ]  # fmt: skip
        inherited = {key: value for key, value in os.environ.items() if key[:6] != "PYTEST"}
        self._environment = {
            **inherited,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **(environment or {}),
        }
        self.process: WarmPython | None = None

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        arguments = [self._log, *self._arguments]
        self.process = WarmPython("-c", _SERVE, *arguments, env=self._environment)

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
        """End it at once."""
        if self.process is not None:
            self.process.close()
            self.process = None


def postgresql_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, as Debian or the PATH has them, or None."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    return Path(found).parent if found else None


class PostgreSQL:
    """PostgreSQL on this machine, with a database of its own in the temp folder.

    It refuses to be run by root; then it is run by the user `postgres`, or `nobody`.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._port = free_port()
        self._user = _other_user() if os.getuid() == 0 else None
        # Under pytest's own folder, the other user could not reach it.
        self._folder = Path(tempfile.mkdtemp(prefix="hooktune-test-postgresql-"))
        if self._user:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self._run(
            "initdb", "--auth=trust", "--username=hooktune", "--no-sync", "--encoding=UTF8",
            "--locale=C", "-D", self._folder / "data",
        ).wait(timeout=120)  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = self._run(
            "postgres", "-D", self._folder / "data", "-h", "127.0.0.1", "-p", str(self._port),
            "-k", self._folder, "-c", "fsync=off",
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            asked = self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self._port))
            if asked.wait() == 0:
                return
            time.sleep(0.1)
        raise AssertionError((self._folder / "log").read_text(encoding="utf-8")[-3000:])

    def make_database(self, name: str) -> str:
        """Make an empty database, and return its address."""
        address = ("-h", "127.0.0.1", "-p", str(self._port), "-U", "hooktune")
        assert self._run("createdb", *address, name).wait(timeout=60) == 0
        return f"postgresql+psycopg2://hooktune@127.0.0.1:{self._port}/{name}"

    def stop(self) -> None:
        """End it, and all connections to it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    def remove(self) -> None:
        """End it and delete its database."""
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: object) -> "subprocess.Popen[bytes]":
        as_other = (
            {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
            if self._user
            else {}
        )
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._programs / program, *map(str, arguments)],
                cwd=self._folder, stdout=log, stderr=log, **as_other,
            )  # fmt: skip


def _other_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
