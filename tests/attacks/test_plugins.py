"""Plugins that do what no plugin should: each failure finds its plugin, and the host goes on."""

import locale
import os
import random
import warnings
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
import torch
from plugin_zoo import opened_zoo

from hooktune import MethodSettings, hookimpl
from hooktune.contract.outcome import Addresses, Outcome
from hooktune.errors import HooktuneError, PluginError, PluginRequestError
from hooktune.plain_text import encodable
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.checks import Plugin
from hooktune.plugin.host import Host
from hooktune.plugin.opening import open_host

SESSIONS: Final[Any] = SimpleNamespace(__len__=lambda: 3)


class OddError(BaseException):
    """What no `except Exception` takes."""


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NamelessError(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no name")

    __str__ = __repr__


def recurse() -> None:
    recurse()


ERRORS: Final[dict[str, BaseException | type[BaseException]]] = {
    "an error": RuntimeError("no luck"),
    "an end of the program": SystemExit(3),
    "an end without a status": SystemExit(),
    "what no except takes": OddError("odd"),
    "the end of a generator": GeneratorExit(),
    "a stopped iteration": StopIteration(1),
    "no memory": MemoryError(),
    "no file": FileNotFoundError(2, "no such file", "secret"),
    "a broken pipe": BrokenPipeError(32, "broken"),
    "a timeout": TimeoutError(),
    "an error that has no text": MuteError(),
    "an error that cannot be shown": NamelessError(),
    "half a character": ValueError("half \ud800"),
    "a text of a megabyte": ValueError("x" * 1_000_000),
    "terminal codes": ValueError("\x1b[2J\x1b]0;owned\x07"),
    "lines that look like others": ValueError("a\nError: b\r\nINFO done"),
    "braces and percents": ValueError("{0} {x} %s %(y)d"),
    "several": ExceptionGroup("several", [ValueError("a"), SystemError("b")]),
}
CALLS: Final[dict[str, Callable[[Host], object]]] = {
    "upload_initial_model": lambda host: host.initial_model(MethodSettings(None, 0, "cpu")),
    "fit_batch": lambda host: host.fit_batch(None, None, None, None),  # type: ignore[arg-type]
    "hyper_parameters": lambda host: host.hyper_parameters(),
    "main_metric": lambda host: host.main_metric(),
    "compute_metrics": lambda host: measured(host),
    "describe_metrics": lambda host: host.describe_metrics(),
}


def measured(host: Host) -> dict[str, float]:
    return host.compute_metrics(None, [1, 2, 3], np.zeros(3), np.zeros(3)).metrics  # type: ignore[arg-type]


def raising(error: BaseException | type[BaseException]) -> Callable[[], Any]:
    def hook() -> Any:
        raise error

    return hook


def giving(value: object) -> Callable[[], Any]:
    return lambda: value


def host_with(extension: bool = False, **functions: Callable[..., Any]) -> Host:
    """Return a host whose method, or whose one extension, has some hooks."""
    own = {"upload_initial_model": giving(None), "fit_batch": giving(None)}
    method = own if extension else own | functions
    plugins = [Plugin("Acme", "method", namespace(method), "acme", "1.0")]
    if extension:
        plugins.append(Plugin("extra", "extension", namespace(functions), "extra-dist", "2.0"))
    return Host(plugins[0], plugins[1:])


def namespace(functions: Mapping[str, Callable[..., Any]]) -> SimpleNamespace:
    return SimpleNamespace(**{name: hookimpl(function) for name, function in functions.items()})


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("hook", CALLS)
def test_whatever_a_hook_raises_is_an_error_that_names_its_plugin(hook: str, name: str):
    host = host_with(**{hook: raising(ERRORS[name])})
    with pytest.raises(PluginError) as failure:
        CALLS[hook](host)
    said = encodable(str(failure.value))
    assert "'Acme' (acme 1.0)" in said
    assert f"failed in {hook}" in said
    assert "\n" not in said
    assert failure.value.exit_status == 1


@pytest.mark.parametrize("hook", CALLS)
def test_ctrl_c_in_a_hook_is_the_users(hook: str):
    with pytest.raises(KeyboardInterrupt):
        CALLS[hook](host_with(**{hook: raising(KeyboardInterrupt())}))


@pytest.mark.parametrize("hook", CALLS)
def test_endless_recursion_in_a_hook_is_its_plugins(hook: str):
    with pytest.raises(PluginError, match="RecursionError"):
        CALLS[hook](host_with(**{hook: recurse}))


OUTCOME: Final = Outcome("Acme", "0" * 24, "1", "FINISHED", {}, {}, Addresses("x", None, None))
OBSERVERS: Final = ("run_finished", "iteration_finished", "promoted")


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("hook", OBSERVERS)
def test_whatever_an_observer_raises_is_recorded_and_no_more(hook, name: str):
    host = host_with(extension=True, **{hook: raising(ERRORS[name])})
    host.tell(hook, OUTCOME)
    assert [failure.name for failure in host.failures] == ["extra"]


@pytest.mark.parametrize("name", ERRORS)
def test_whatever_a_wrapper_raises_is_recorded_and_no_more(name: str):
    @hookimpl(wrapper=True)
    def compute_metrics():
        yield
        raise ERRORS[name]

    def before():
        raise ERRORS[name]
        yield

    for wrapper in (compute_metrics, hookimpl(wrapper=True)(before)):
        extension = SimpleNamespace(compute_metrics=wrapper)
        method = namespace(
            {"upload_initial_model": giving(None), "fit_batch": giving(None),
             "compute_metrics": giving({"one": 1})}
        )  # fmt: skip
        host = Host(
            Plugin("Acme", "method", method, "acme", "1.0"),
            [Plugin("extra", "extension", extension, "extra-dist", "2.0")],
        )
        assert measured(host) == {"one": 1.0}
        assert [failure.name for failure in host.failures] == ["extra"]


class EndlessMapping(Mapping[str, float]):
    def __getitem__(self, name: str) -> float:
        return 1.0

    def __iter__(self):
        raise OddError("no end")

    def __len__(self) -> int:
        return 10**9


NO_METRICS: Final[dict[str, object]] = {
    "None": {"a": None},
    "a truth": {"a": True},
    "a truth of numpy": {"a": np.True_},
    "a text": {"a": "1.0"},
    "a complex number": {"a": 1j},
    "a complex number of numpy": {"a": np.complex128(1)},
    "a decimal": {"a": Decimal("1.5")},
    "a time": {"a": np.datetime64("2024-01-01")},
    "a list": {"a": [1.0]},
    "an object": {"a": {"b": 1}},
    "a matrix": {"a": np.zeros((3, 3))},
    "an array that is too short": {"a": np.zeros(2)},
    "an array that is too long": {"a": np.zeros(10_000)},
    "an array of texts": {"a": np.array(["x"] * 3)},
    "an array of objects": {"a": np.array([1, 2, 3], object)},
    "an array of complex numbers": {"a": np.zeros(3, complex)},
    "a tensor of three": {"a": torch.zeros(3)},
    "a number as a name": {1: 1.0},
    "None as a name": {None: 1.0},
    "no name": {"": 1.0},
    "a name of 10,000 characters": {"a" * 10_000: 1.0},
    "half a character as a name": {"\ud800": 1.0},
    "a line as a name": {"a\nb": 1.0},
    "NUL in a name": {"a\0": 1.0},
    "a terminal's name": {"\x1b[2J": 1.0},
    "a name that leads out": {"../../a": 1.0},
    "a name that leads to the root": {"/a": 1.0},
    "the loss's name": {"loss": 1.0},
    "the collection's name": {"collection_ndcg_at_10": 1.0},
    "a list of numbers": [1.0],
    "pairs": [("a", 1.0)],
    "a generator": (pair for pair in ()),
    "a class": dict,
    "a number": 1.0,
    "a text in its place": "a=1",
}


@pytest.mark.parametrize("name", NO_METRICS)
def test_metrics_that_are_none_are_refused_with_their_plugin(name: str):
    with pytest.raises(PluginError, match=r"extra-dist 2\.0") as failure:
        measured(host_with(extension=True, compute_metrics=giving(NO_METRICS[name])))
    assert str(failure.value).isprintable()


ODD_METRICS: Final[dict[str, tuple[object, dict[str, float]]]] = {
    "a number of numpy": ({"a": np.float32(0.5)}, {"a": 0.5}),
    "a whole number of numpy": ({"a": np.int8(3)}, {"a": 3.0}),
    "a fraction": ({"a": Fraction(1, 2)}, {"a": 0.5}),
    "an endless number": ({"a": float("inf")}, {"a": float("inf")}),
    "nothing": ({}, {}),
    "None, for none": (None, {}),
    "an array without numbers": ({"a": np.full(3, np.nan)}, {}),
    "an array of whole numbers": ({"a": np.array([1, 2, 3], np.uint8)}, {"a": 2.0}),
}


@pytest.mark.parametrize("name", ODD_METRICS)
def test_odd_metrics_that_are_numbers_are_taken(name: str):
    given, expected = ODD_METRICS[name]
    assert measured(host_with(extension=True, compute_metrics=giving(given))) == expected


def test_a_number_that_no_float_holds_is_its_plugins():
    with pytest.raises(PluginError, match=r"extra-dist 2\.0"):
        measured(host_with(extension=True, compute_metrics=giving({"a": 10**400})))


WRONG_KINDS: Final = [1, "text", b"bytes", object, np.zeros(3), 1j, ..., Decimal(1)]


@pytest.mark.parametrize("value", WRONG_KINDS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("hook", CALLS)
def test_a_hook_that_returns_something_else_is_told(hook: str, value: object):
    with pytest.raises(PluginError, match=r"'Acme' \(acme 1\.0\) breaks the contract of"):
        CALLS[hook](host_with(**{hook: giving(value)}))


SURROUNDINGS: Final[dict[str, tuple[Callable[[], Any], Callable[[], Any]]]] = {
    "random numbers": (lambda: random.seed(1), lambda: None),
    "numpy's random numbers": (lambda: np.random.seed(1), lambda: None),  # noqa: NPY002
    "the locale": (lambda: locale.setlocale(locale.LC_ALL, "C"), lambda: None),
    "warnings": (lambda: warnings.simplefilter("ignore"), lambda: None),
    "the environment": (lambda: os.environ.update(ACME="1"), lambda: os.environ.pop("ACME")),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_a_hook_that_changes_its_surroundings_is_called_all_the_same(name: str):
    """A plugin runs in the process, and may change it; `hooktune.testing` tells who does."""
    change, restore = SURROUNDINGS[name]
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    spoken = locale.setlocale(locale.LC_ALL)
    with warnings.catch_warnings():
        assert measured(host_with(extension=True, compute_metrics=lambda: change() and None)) == {}
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    locale.setlocale(locale.LC_ALL, spoken)
    restore()


# Entry points that do not hold what they promise.

TARGETS: Final = [
    "", ":", "no_such_module", "no_such_module:x", "os:no_such_name", "os:", "os.path:join.x",
    "a b", "../evil", "/etc/passwd", "os;import sys", "os:path[extra", "\ud800", "0", "__main__:x",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_an_entry_point_that_leads_nowhere_is_refused_alone(tmp_path, target: str):
    with opened_zoo(tmp_path / "site") as zoo:
        zoo.install("good", method="Good")
        info = zoo.install("bad", method="Bad")
        text = f"[hooktune.methods]\nBad = {target}\n"
        info_file(tmp_path, "bad").write_bytes(text.encode("utf-8", "surrogatepass"))
        assert info is None or info
        catalogue = read_catalogue(only=["good", "bad"])
        assert open_host(catalogue, "Good").method.name == "Good"
        with pytest.raises((PluginRequestError, HooktuneError)):
            open_host(catalogue, "Bad")


def info_file(folder, name: str):
    (found,) = (folder / "site").rglob(f"{name}*.dist-info/entry_points.txt")
    return found
