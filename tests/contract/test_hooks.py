import inspect
import re

import pytest

from hooktune.contract import hooks as hookspecs
from hooktune.plugin.checks import HOOKS, REQUIRED_HOOKS, SHARED_HOOKS

TOLD = (
    "method", "batch_id", "run_id", "status", "metrics", "starting_metrics", "addresses",
)  # fmt: skip


def test_the_hooks_are_those_that_the_design_names():
    assert {
        "upload_initial_model": ("settings",),
        "hyper_parameters": (),
        "main_metric": (),
        "fit_batch": ("run", "model", "batch", "params"),
        "compute_metrics": ("model", "sessions", "scores", "baseline"),
        "describe_metrics": (),
        "report_sections": ("report",),
        "samplers": (),
        "propose": ("sampler", "search"),
        "launch": ("command", "resources"),
        **dict.fromkeys(("run_finished", "iteration_finished", "promoted"), TOLD),
        **dict.fromkeys(("recognise_log", "guess_columns", "read_log"), ("source",)),
    } == HOOKS
    assert {*REQUIRED_HOOKS, *SHARED_HOOKS} < set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_a_specification_documents_its_call_its_arguments_and_its_version(name):
    text = inspect.getdoc(getattr(hookspecs, name))
    assert "\nCalled " in text
    assert "\nReturns:\n" in text
    assert re.search(r"^Since \d+\.\d+\. Implemented by ", text, re.MULTILINE)
    for argument in HOOKS[name]:
        assert re.search(rf"^    {argument}: ", text, re.MULTILINE), argument


@pytest.mark.parametrize("name", HOOKS)
def test_a_specification_has_no_defaults(name):
    signature = inspect.signature(getattr(hookspecs, name))
    assert all(each.default is each.empty for each in signature.parameters.values())


@pytest.mark.parametrize("name", REQUIRED_HOOKS)
def test_a_required_hook_says_that_it_is(name):
    assert "required." in inspect.getdoc(getattr(hookspecs, name))
