"""Plugins that change the process they run in, through whole runs of the command line.

Whatever such a plugin does, its command ends, and once the plugin is mended the same command leaves
what it leaves for one that never did anything of the kind.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from plugin_zoo import opened_zoo
from stored_state import state
from warm_python import run_python

from hooktune import Runner

pytestmark = pytest.mark.long

Act = Callable[[str], "subprocess.CompletedProcess[str]"]
METHOD: Final = "Misbehaving"
MODULE: Final = """
    import builtins, json, os, signal, sys, threading, time
    from pathlib import Path

    from hooktune import hookimpl

    @hookimpl
    def upload_initial_model(settings):
        from hooktune.testing import tiny_model

        return tiny_model(settings.seed)

    @hookimpl
    def fit_batch(run, model):
        import torch

        run.log({"train_loss": 0.5}, 1)
        with torch.no_grad():
            model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += 0.5
        exec(Path(__file__).with_suffix(".misdeed").read_text())
        return model
"""
BORNE: Final[dict[str, str]] = {
    "it goes elsewhere, ignores signals, and leaves a thread and a child behind": """
os.mkdir("elsewhere")
os.chdir("elsewhere")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
    signal.signal(number, signal.SIG_IGN)
threading.Thread(target=threading.Event().wait, daemon=True).start()
if os.fork() == 0:
    time.sleep(2)
    os._exit(0)
""",
    "it forgets that it is a child": "os.fork()",
    "it closes what is printed to": "os.close(1); os.close(2); sys.stdout = sys.stderr = None",
}
"""What a run survives, with all that it would have stored."""
BREAKING: Final[dict[str, str]] = {
    "it takes `open` away": "builtins.open = None",
    "it takes `json` apart": "json.dumps = json.loads = None",
    "it takes MLflow apart": """
import mlflow
mlflow.MlflowClient.log_batch = mlflow.MlflowClient.set_tag = None
""",
    "it closes all files": "os.closerange(3, 1000)",
    "it dies": "os.kill(os.getpid(), signal.SIGKILL)",
}
"""After what a run may fail, and is done by the next command."""


@pytest.fixture(scope="module")
def misdeed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of what the installed plugin does amiss."""
    with opened_zoo(tmp_path_factory.mktemp("plugins") / "site") as zoo:
        yield zoo.site / f"{zoo.install('misbehaving', MODULE, method=METHOD)}.misdeed"


def stored(work: Path) -> dict:
    return state(f"sqlite:///{work / 'mlflow.db'}", METHOD)


@pytest.fixture(scope="module")
def expected(
    misdeed: Path, tmp_path_factory: pytest.TempPathFactory, empty_store: Path, released_batch: Path
) -> dict:
    """What is stored for a plugin that does nothing amiss."""
    work = tmp_path_factory.mktemp("work")
    shutil.copy(empty_store, work / "mlflow.db")
    misdeed.write_text("")
    Runner(f"sqlite:///{work / 'mlflow.db'}").run(METHOD, released_batch, device="cpu")
    return stored(work)


@pytest.fixture
def act(
    misdeed: Path, expected: dict, empty_store: Path, released_batch: Path, tmp_path: Path
) -> Act:
    """Runs the command, with a misdeed."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")

    def do(deed: str) -> "subprocess.CompletedProcess[str]":
        misdeed.write_text(deed)
        command = ["hooktune", "run", METHOD, released_batch, "--device", "cpu"]
        environment = os.environ | {"PYTHONPATH": str(misdeed.parent)}
        return run_python("-m", *command, cwd=tmp_path, env=environment)

    return do


@pytest.mark.parametrize("deed", BORNE)
def test_a_run_is_whole_though_its_plugin_misbehaves(
    act: Act, expected: dict, tmp_path: Path, deed: str
):
    act(BORNE[deed])
    assert stored(tmp_path) == expected
    assert not list((tmp_path / "elsewhere").glob("*"))


@pytest.mark.parametrize("deed", BREAKING)
def test_what_a_plugin_breaks_is_whole_after_the_next_command(
    act: Act, expected: dict, tmp_path: Path, deed: str
):
    act(BREAKING[deed])
    mended = act("")
    assert mended.returncode == 0, mended.stderr
    found = stored(tmp_path)
    for what in ("initial", "models", "best", "improved", "claims"):
        assert found[what] == expected[what]
    failed = [run for run in found["runs"] if run not in expected["runs"]]
    assert len(found["runs"]) == len(expected["runs"]) + len(failed)
    assert {status for _, status, _ in failed} <= {"FAILED"}
