import time

import numpy as np
import pytest

from hooktune import MethodSettings, hookimpl
from hooktune.errors import PluginError, RequestError
from hooktune.plugin import initial_model
from hooktune.plugin.checks import given_plugin
from hooktune.plugin.host import Host
from hooktune.plugin.initial_model import bundled_model_folder
from hooktune.testing import tiny_model


class Tunes:
    """A method that says nothing of its initial model."""

    @hookimpl
    def fit_batch(self, model):
        return model


def started_from(folder):
    return Host(given_plugin(Tunes())).initial_model(MethodSettings(folder, seed=0, device="cpu"))


def test_a_method_without_the_hook_starts_from_the_model_that_the_user_names(tmp_path):
    folder = str(tmp_path / "model")
    tiny_model(seed=3).save(folder)
    expected = tiny_model(seed=3).encode(["apple"])
    np.testing.assert_allclose(started_from(folder).encode(["apple"]), expected, atol=1e-6)


def test_without_a_name_it_starts_from_the_installed_package(tmp_path, monkeypatch):
    package = tmp_path / "installed_model"
    tiny_model(seed=4).save(str(package / "model"))
    (package / "__init__.py").write_text("raise RuntimeError('it is found, not imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(initial_model, "MODEL_PACKAGE", "installed_model")
    assert bundled_model_folder() == package / "model"
    expected = tiny_model(seed=4).encode(["apple"])
    np.testing.assert_allclose(started_from(None).encode(["apple"]), expected, atol=1e-6)


def test_a_package_that_is_not_installed_or_holds_no_model_is_not_found(tmp_path, monkeypatch):
    (tmp_path / "empty_model").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("a_package_that_nobody_has", "empty_model"):
        monkeypatch.setattr(initial_model, "MODEL_PACKAGE", name)
        assert bundled_model_folder() is None


def test_an_initial_model_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RequestError, match="no-such-model"):
        started_from(str(tmp_path / "no-such-model"))


def test_the_default_does_not_stand_in_for_a_method_that_returns_nothing():
    class Forgets(Tunes):
        @hookimpl
        def upload_initial_model(self):
            pass

    host = Host(given_plugin(Forgets()))
    with pytest.raises(PluginError, match="returned None, not a SentenceTransformer"):
        host.initial_model(MethodSettings(None, seed=0, device="cpu"))


def test_a_wrapper_observes_the_default_too(tmp_path):
    seen = []

    class Watch:
        @hookimpl(wrapper=True)
        def upload_initial_model(self):
            model = yield
            seen.append(model)
            return model

    tiny_model().save(str(tmp_path))
    watched = Host(given_plugin(Tunes()), [given_plugin(Watch())])
    model = watched.initial_model(MethodSettings(str(tmp_path), seed=0, device="cpu"))
    assert seen == [model]


def test_without_a_network_the_error_comes_in_seconds_and_says_what_to_do(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "no_proxy",
                 "NO_PROXY", "ALL_PROXY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    began = time.monotonic()
    with pytest.raises(RequestError, match="--initial-model FOLDER"):
        started_from("nobody/no-such-model")
    assert time.monotonic() - began < 20
