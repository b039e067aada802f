import pytest

from hooktune import Resources, WorkerCommand, hookimpl
from hooktune.errors import PluginError, PluginRequestError, RequestError
from hooktune.plugin.checks import Plugin
from hooktune.plugin.launchers import Launcher, choose_launcher
from hooktune.plugin.versions import check_same_versions, plugin_versions

COMMAND = WorkerCommand(("--version",), {}, ".", 1, 1)


def launcher_of(function):
    plugin = type("Odd", (), {"launch": staticmethod(hookimpl(function))})
    return Launcher(Plugin("odd", "launcher", plugin(), "odd-launcher", "1.0"))


def test_the_bundled_launcher_runs_a_command_on_this_machine():
    worker = choose_launcher("local").launch(COMMAND, Resources(cpus=1))
    while worker.poll() is None:
        pass
    assert worker.poll() == 0
    assert [line.split(",")[0] for line in worker.messages()] == ["hooktune"]
    worker.stop(by_force=True)


def test_a_launcher_that_is_blocked_cannot_be_used():
    with pytest.raises(PluginRequestError, match="--block blocks it"):
        choose_launcher("local", ["local"])


def test_a_launcher_that_fails_or_returns_something_else_is_named():
    def failing(command):
        raise OSError("no such queue")

    with pytest.raises(PluginError, match=r"'odd' \(odd-launcher 1.0\) failed in launch: OSError"):
        launcher_of(failing).launch(COMMAND, Resources())
    with pytest.raises(PluginError, match="which has not poll, stop and messages"):
        launcher_of(lambda command: "started").launch(COMMAND, Resources())


def test_more_gpus_than_there_are_are_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(RequestError, match="2 GPUs are asked for each worker, and this machine"):
        choose_launcher("local").launch(COMMAND, Resources(gpus=2))


def test_versions_are_those_of_what_takes_part(tmp_path):
    file = tmp_path / "own.py"
    file.write_text("NAME = 'Own'\n")
    versions = plugin_versions([str(file)])
    assert versions["hooktune"] == "0.1.0"
    assert versions[str(file)].startswith("sha256:")
    check_same_versions(versions, plugin_versions([str(file)]))
    file.write_text("NAME = 'Other'\n")
    with pytest.raises(RequestError, match=rf"here is {file} sha256:\w+ and not sha256:\w+\. "):
        check_same_versions(versions, plugin_versions([str(file)]))
    with pytest.raises(RequestError, match="metrics is missing and not 1; more 2, which is not"):
        check_same_versions({"metrics": "1"}, {"more": "2"})
