import os
import sys
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest
import torch
from bad_plugins import EXTENSIONS, METHODS, Good, Measure, Observer
from plugin_zoo import opened_zoo

from hooktune import hookimpl
from hooktune.errors import PluginRequestError, RequestError
from hooktune.testing import (
    ContractError,
    check_extension,
    check_method,
    made_up_sessions,
    tiny_model,
)
from hooktune.testing.method_checks import METHOD_CHECKS
from hooktune.testing.metric_checks import EXTENSION_CHECKS

pytest_plugins = ["pytester"]

LIGHT_METHOD = dedent("""
    import hooktune

    @hooktune.hookimpl
    def upload_initial_model(settings):
        from sentence_transformers import SentenceTransformer
        return SentenceTransformer(settings.initial_model, device=settings.device)

    @hooktune.hookimpl
    def fit_batch(run, model): return model
""")
FILES = {
    "light": ("", None),
    "looking": ("import importlib.util\nassert importlib.util.find_spec('torch')\n", None),
    "torch": ("import os\nimport torch\n", "imports torch ("),
    "mlflow": ("from mlflow import MlflowClient\n", "imports mlflow ("),
    "train": ("from hooktune import train\n", "imports torch ("),
}


@pytest.fixture(scope="module")
def model():
    return tiny_model(layers=1)


BATCHES = ("one_session", "unicode_texts", "long_texts", "duplicate_queries", "single_results")


def ids(zoo):
    return [f"{check}-{number}" for number, (check, _, _) in enumerate(zoo)]


@pytest.mark.parametrize(("check", "method", "message"), METHODS, ids=ids(METHODS))
def test_each_fault_of_a_method_is_found_by_its_check(model, check, method, message):
    before = (dict(os.environ), Path.cwd(), torch.get_num_threads(), torch.get_default_dtype())
    others = [name for name in BATCHES if check not in BATCHES]  # they take most of the time
    report = check_method(method, model=model, skip=others, raise_on_failure=False)
    assert [each.name for each in report.failed] == [check]
    assert message in report.failed[0].message
    assert before == (
        dict(os.environ), Path.cwd(), torch.get_num_threads(), torch.get_default_dtype()
    )  # fmt: skip


@pytest.mark.parametrize(("check", "extension", "message"), EXTENSIONS, ids=ids(EXTENSIONS))
def test_each_fault_of_an_extension_is_found_by_its_check(check, extension, message):
    report = check_extension(extension, raise_on_failure=False)
    assert [each.name for each in report.failed] == [check]
    assert message in report.failed[0].message


def test_every_check_finds_a_fault():
    found = {check for check, _, _ in METHODS}
    assert {check.name for check in METHOD_CHECKS} - found == {"light_import"}
    shared = {"light_import", *(check.name for check in METHOD_CHECKS)}
    assert {check.name for check in EXTENSION_CHECKS} - {c for c, _, _ in EXTENSIONS} <= shared


def test_a_method_that_keeps_the_contract_passes_all_checks():
    report = check_method(Good())
    assert [each.name for each in report.results] == [check.name for check in METHOD_CHECKS]
    assert str(report).endswith(f"passes all {len(METHOD_CHECKS)} checks.")


def test_the_bundled_plugins_pass():
    check_method("Default Fine Tuning Method")
    check_extension("hooktune metrics")


@pytest.mark.parametrize("extension", [Measure(), Observer()])
def test_an_extension_that_keeps_the_contract_passes_all_checks(extension):
    assert len(check_extension(extension).results) == len(EXTENSION_CHECKS)


def test_an_observer_sees_a_run_that_ends_well_and_one_that_fails():
    observer = Observer()
    check_extension(observer)
    assert len(observer.seen) == 2


def test_what_fails_is_raised_at_once_with_the_cause():
    _, faulty, _ = next(each for each in METHODS if "KeyError" in each[2])
    with pytest.raises(ContractError, match=r"fails 1 of \d checks:\n- fit_batch: ") as failure:
        check_method(faulty)
    assert isinstance(failure.value, AssertionError)
    assert isinstance(failure.value.__cause__, KeyError)
    assert failure.value.report.failed[0].name == "fit_batch"


def test_checks_that_depend_on_a_failed_one_are_left_out():
    report = check_method(METHODS[0][1], raise_on_failure=False)
    assert [each.name for each in report.results] == ["hooks", "light_import"]


def test_a_method_with_a_model_of_its_own_is_checked_on_another_one():
    _, own, _ = next(each for each in METHODS if each[0] == "initial_model")
    check_method(own, model=tiny_model(layers=1), skip=["initial_model"])


def test_a_method_is_checked_with_other_parameters():
    check_method(Good(), params={"epochs": 2, "evaluations_per_epoch": 0})
    report = check_method(Good(), params={"epoch": 2}, raise_on_failure=False)
    assert "Did you mean 'epochs'?" in report.failed[0].message


def test_a_method_with_metrics_has_them_checked():
    class WithMetrics(Good):
        @hookimpl
        def compute_metrics(self):
            return {"test_mean": 1.0}

    report = check_method(WithMetrics(), raise_on_failure=False)
    assert [each.name for each in report.failed] == ["computed_metrics"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_checked_for_heavy_imports(tmp_path, name):
    imports, message = FILES[name]
    path = tmp_path / f"{name}_method.py"
    path.write_text(imports + LIGHT_METHOD)
    report = check_method(str(path), raise_on_failure=False)
    found = {each.name: each.message for each in report.failed}
    assert ("light_import" in found) == bool(message)
    if message:
        assert message + str(path) in found["light_import"]
        assert "into the functions that use it" in found["light_import"]


def test_a_module_that_leans_on_others_imports_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "helper_of_a_test", SimpleNamespace())
    path = tmp_path / "leaning.py"
    path.write_text("import helper_of_a_test\n" + LIGHT_METHOD)
    report = check_method(path, raise_on_failure=False)
    [found] = [each for each in report.failed if each.name == "light_import"]
    assert "cannot be imported in a fresh process: ModuleNotFoundError" in found.message


def test_an_installed_method_is_checked_by_its_name(tmp_path):
    with opened_zoo(tmp_path / "site") as zoo:
        zoo.install("acme", LIGHT_METHOD, method="Acme")
        report = check_method("Acme", raise_on_failure=False)
        module = sys.modules["zoo_acme"]
        assert check_method(module, raise_on_failure=False).results == tuple(report.results)
    assert report.plugin == "The method 'Acme' (acme 1.0)"
    assert [each.name for each in report.failed] == ["weights_changed", "stops"]


def test_what_is_not_there_is_a_wrong_request(tmp_path):
    with pytest.raises(RequestError, match="There is no method 'Acmee'"):
        check_method("Acmee")
    with pytest.raises(RequestError, match="Did you mean 'hooktune metrics'"):
        check_extension("hooktune metric")
    with pytest.raises(PluginRequestError, match="cannot be read"):
        check_method(tmp_path / "no.py")
    with pytest.raises(RequestError, match=r"no check 'stop' to skip\. Did you mean 'stops'"):
        check_method(Good(), skip=["stop"])


def test_made_up_sessions_are_those_of_the_log():
    sessions = made_up_sessions(sessions=20, results=5)
    assert (len(sessions), sessions.result_count) == (20, 100)
    assert 0 < sessions.not_irrelevant.sum() < 20


def test_the_pytest_plugin_is_light_and_gives_fixtures(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        from hooktune.data.release import open_batch

        def test_fixtures(hooktune_tiny_model, hooktune_made_up_sessions, hooktune_made_up_batch):
            assert hooktune_tiny_model.encode("apple").shape == (32,)
            assert len(hooktune_made_up_sessions) == 40
            assert len(open_batch(hooktune_made_up_batch).sessions) == 40
        """
    )
    pytester.runpytest_inprocess("-p", "hooktune.testing.pytest_plugin", "-q").assert_outcomes(
        passed=1
    )
    light = (
        "import hooktune.testing.pytest_plugin, sys; print({'numpy', 'torch'} & set(sys.modules))"
    )
    assert pytester.run(sys.executable, "-c", light).outlines == ["set()"]
