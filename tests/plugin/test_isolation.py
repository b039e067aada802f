"""Faulty plugins are told apart without harm to whoever asks."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from plugin_zoo import GOOD, METHODS, opened_zoo

from hooktune.errors import PluginRequestError, RequestError
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.isolation import PluginChecks, check_plugins, refuse_failed

TIMEOUT = 20

TIMER = """
    import hooktune

    @hooktune.hookimpl(wrapper=True)
    def fit_batch():
        return (yield)

    @hooktune.hookimpl
    def compute_metrics(scores): return {}
"""


@pytest.fixture
def zoo(tmp_path):
    with opened_zoo(tmp_path / "site") as opened:
        yield opened


def installed_here(**settings):
    return [entry for entry in read_catalogue(**settings).entries if not entry.is_bundled]


def verdict_on(zoo, source, timeout=TIMEOUT, **place):
    zoo.install("acme", source, version="2.5", **(place or {"method": "Acme"}))
    [verdict] = check_plugins(installed_here(), timeout)
    return verdict


def test_a_sound_plugin_is_loaded_and_its_hooks_are_known(zoo):
    verdict = verdict_on(zoo, TIMER, extension="timer")
    assert (verdict.status, verdict.reason) == ("loaded", "")
    assert (verdict.hooks, verdict.wraps) == (("compute_metrics",), ("fit_batch",))
    assert "zoo_acme" not in sys.modules


@pytest.mark.parametrize("fault", METHODS)
def test_what_cannot_be_imported_or_breaks_the_contract_has_failed(zoo, fault):
    verdict = verdict_on(
        zoo, METHODS[fault], method="Acme", attribute="Method" * (fault == "class")
    )
    assert verdict.status == "failed"
    assert verdict.reason.startswith("it ")
    assert verdict.entry.label == "The method 'Acme' (acme 2.5)"


def test_one_that_ends_python_has_failed_with_the_status_and_its_last_words(zoo):
    verdict = verdict_on(zoo, "import os\nprint('no licence', flush=True)\nos._exit(0)")
    assert "exit status 0" in verdict.reason
    assert "no licence" in verdict.reason
    assert "HOOKTUNE_BLOCK=acme" in verdict.reason


def test_one_that_crashes_python_has_failed_by_the_signal(zoo):
    verdict = verdict_on(zoo, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    assert "kills the Python that imports it (SIGSEGV)" in verdict.reason


def test_one_that_hangs_is_given_up_and_leaves_no_process_behind(zoo, tmp_path):
    verdict = verdict_on(zoo, HANGS.format(note=tmp_path / "pids"), timeout=3)
    assert "still not imported after 3 seconds" in verdict.reason
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(map(is_alive, pids))


HANGS = """
    import os, subprocess, time
    child = subprocess.Popen(["sleep", "600"])
    with open({str(note)!r}, "w") as file: file.write(f"{{os.getpid()}} {{child.pid}}")
    time.sleep(600)
""".replace("{str(note)!r}", "'{note}'")


def is_alive(pid):
    with suppress(OSError):
        os.kill(pid, 0)
        # A zombie of an orphan is as good as gone.
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def test_a_plugin_cannot_forge_its_verdict_by_printing(zoo):
    forged = json.dumps({"status": "loaded"})
    verdict = verdict_on(zoo, f"import os\nprint('{forged}', flush=True)\nos._exit(0)")
    assert verdict.status == "failed"


def test_what_is_blocked_or_refused_is_not_imported(zoo, tmp_path):
    trace = tmp_path / "imported"
    zoo.install("acme", f"open({str(trace)!r}, 'w')", method="Acme")
    zoo.install("newer", f"open({str(trace)!r}, 'w')", method="New", requires="hooktune>=99")
    verdicts = {each.entry.name: each for each in check_plugins(installed_here(block=["acme"]))}
    assert verdicts["Acme"].status == "blocked"
    assert verdicts["New"].status == "refused"
    assert "needs hooktune>=99" in verdicts["New"].reason
    assert not trace.exists()


def test_a_failed_plugin_is_refused_from_then_on(zoo):
    zoo.install("acme", METHODS["raises"], method="Acme")
    catalogue = refuse_failed(read_catalogue(), check_plugins(installed_here(), TIMEOUT))
    with pytest.raises(PluginRequestError, match=r"acme 1.0.*cannot be used: .*no licence found"):
        catalogue.method("Acme")


def test_leaving_early_ends_the_checks(zoo):
    zoo.install("acme", "import time\ntime.sleep(600)", method="Acme")
    started = time.monotonic()
    with PluginChecks(installed_here()) as checks:
        [check] = checks._running
    assert time.monotonic() - started < TIMEOUT
    assert check._process.returncode == -signal.SIGKILL


def test_the_environment_may_set_how_long_an_import_may_take(zoo, monkeypatch):
    monkeypatch.setenv("HOOKTUNE_CHECK_TIMEOUT", "2")
    verdict = verdict_on(zoo, "import time\ntime.sleep(600)", timeout=None)
    assert "after 2 seconds" in verdict.reason
    monkeypatch.setenv("HOOKTUNE_CHECK_TIMEOUT", "soon")
    with pytest.raises(RequestError, match="HOOKTUNE_CHECK_TIMEOUT=soon is no number"):
        check_plugins([])


def test_the_command_line_tells_of_each_plugin_and_fails_if_one_is_faulty(zoo):
    zoo.install("good", GOOD, method="Good")
    zoo.install("bad", METHODS["raises"], method="Bad", version="3.1")
    command = [sys.executable, "-m", "hooktune"]
    environment = os.environ | {"PYTHONPATH": str(zoo.site), "HOOKTUNE_ONLY": "good,bad"}

    def run(*arguments):
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True
        )

    listed = run("plugins", "--json")
    assert listed.returncode == 0
    statuses = {each["name"]: each["status"] for each in json.loads(listed.stdout)}
    assert (statuses["Good"], statuses["Bad"]) == ("available", "available")
    checked = run("plugins", "--check", "--json")
    found = {each["name"]: each for each in json.loads(checked.stdout)}
    bad, good = found["Bad"], found["Good"]
    assert checked.returncode == 1
    assert f"1 of {len(found)} plugins cannot be used: 'Bad'" in checked.stderr
    assert (bad["status"], bad["distribution"], bad["version"]) == ("failed", "bad", "3.1")
    assert good["hooks"] == ["fit_batch", "upload_initial_model"]
    table = run("plugins", "--check").stdout
    assert "no licence found" in " ".join(table.split())
    assert run("--block", "bad", "plugins", "--check").returncode == 0
