"""A plugin in a single file needs no packaging."""

import sys
from textwrap import dedent
from types import ModuleType

import pytest
from plugin_zoo import GOOD, METHODS

from hooktune import Runner, hookimpl
from hooktune.errors import PluginRequestError, RequestError
from hooktune.plugin.checks import given_plugin, implementations
from hooktune.plugin.file import plugin_from_file


@pytest.fixture
def write(tmp_path):
    def write(source=GOOD, name="my_first-method.py"):
        path = tmp_path / name
        path.write_text(dedent(source), encoding="utf-8")
        return path

    return write


class Metrics:
    @hookimpl
    def compute_metrics(self): ...


def test_a_file_is_named_by_its_name_or_by_its_own(write):
    assert plugin_from_file(write()).name == "My First Method"
    assert plugin_from_file(write(name="BM25.py")).name == "BM25"
    assert plugin_from_file(write("NAME = 'Größe'\n" + dedent(GOOD))).name == "Größe"


def test_an_object_is_named_by_its_name_its_module_or_its_class():
    module = ModuleType("mine")
    assert given_plugin(module).name == "mine"
    assert given_plugin(Metrics()).name == "Metrics"
    module.NAME = "My Own"
    assert given_plugin(module).name == "My Own"


def test_what_has_fit_batch_is_a_method(write):
    assert plugin_from_file(write()).kind == "method"
    assert plugin_from_file(write("import hooktune")).kind == "extension"


def test_it_comes_from_its_file_in_the_version_of_its_content(write):
    path = write()
    first = plugin_from_file(path)
    assert first.distribution == str(path)
    write(dedent(GOOD) + "# edited")
    second = plugin_from_file(path)
    assert second.version != first.version
    assert second.object is not first.object
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_two_files_of_one_name_are_two_modules(write, tmp_path):
    (tmp_path / "other").mkdir()
    one, other = write("A = 1", "p.py"), write("A = 2", "other/p.py")
    found = [plugin_from_file(path).object for path in (one, other)]
    assert [module.A for module in found] == [1, 2]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("\nraise RuntimeError('no licence')", "line 2, cannot be imported: RuntimeError: no lic"),
        ("import sys\nsys.exit()", "line 2, cannot be imported: SystemExit"),
        ("def fit(:", "line 1, cannot be imported: SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_with_the_line(write, source, reason):
    path, modules = write(source), set(sys.modules)
    with pytest.raises(PluginRequestError) as refusal:
        plugin_from_file(path)
    assert f"{path}, {reason}" in str(refusal.value)
    assert set(sys.modules) <= modules


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(PluginRequestError, match=r"none.py cannot be read: No such file"):
        plugin_from_file(tmp_path / "none.py")


def test_a_file_that_is_no_method_is_told_what_it_lacks(write):
    path = write(METHODS["misspelt"])
    with pytest.raises(PluginRequestError, match="lacks the hook 'fit_batch'"):
        implementations(plugin_from_file(path, "method"))


def test_a_runner_refuses_a_wrong_name_with_the_nearest_of_its_own_plugins(write, tmp_path):
    runner = Runner(f"sqlite:///{tmp_path}/mlflow.db", plugins=[write()])
    with pytest.raises(RequestError, match="Did you mean 'My First Method'"):
        runner.run("my first methd", tmp_path)


def test_a_plugin_with_the_name_of_an_installed_one_is_refused(write, tmp_path):
    path = write("NAME = 'Default Fine Tuning Method'\n" + dedent(GOOD))
    runner = Runner(f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(RequestError, match=r"name of another plugin: .*hooktune 0\..* its NAME"):
        runner.run(str(path), tmp_path)
