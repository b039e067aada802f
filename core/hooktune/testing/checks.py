"""`check_method` and `check_extension`: all checks of a plugin, and one answer."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from hooktune.plugin.checks import implementations
from hooktune.testing.made_up import tiny_model
from hooktune.testing.method_checks import METHOD_CHECKS
from hooktune.testing.metric_checks import EXTENSION_CHECKS, METRIC_CHECKS, MetricTrial
from hooktune.testing.report import Report, concluded, refuse_unknown, run_checks
from hooktune.testing.subject import Subject, find_subject
from hooktune.testing.trial import Trial

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def check_method(
    plugin: object,
    *,
    params: Mapping[str, Any] | None = None,
    model: "SentenceTransformer | None" = None,
    skip: Collection[str] = (),
    raise_on_failure: bool = True,
) -> Report:
    """Run a method on made-up sessions and check that it keeps the contract.

    The initial model is asked for with `settings.initial_model` naming a folder that holds the tiny
    model; a method may leave it to the host to load it. It then tunes what was returned: about ten
    times, on at most 160 sessions. A method that can only start from a model of its own is checked
    with `skip=["initial_model"]`; it then tunes the tiny model, or the one that is given.

    Args:
        plugin: A module or an object, the path of a `.py` file, or the display name of an
            installed method.
        params: Hyper-parameters other than the defaults, such as fewer epochs.
        model: What to start from instead of `tiny_model()`; it is not changed.
        skip: The names of checks to leave out.
        raise_on_failure: Raise where a check fails; otherwise only report it.

    Returns:
        What each check found. A check that can say nothing, as another one failed, is left out.

    Raises:
        ContractError: A check failed; the message names each that did, and how to mend it.
        RequestError: There is no such plugin or check, or the plugin cannot be imported.
    """
    names = [check.name for check in METHOD_CHECKS] + [check.name for check in METRIC_CHECKS]
    refuse_unknown(skip, names)
    subject = find_subject(plugin, "method")
    trial = Trial(subject, params or {}, tiny_model() if model is None else model)
    results = run_checks(METHOD_CHECKS, trial, skip)
    if all(result.passed for result in results if result.name == "hooks") and _measures(subject):
        results += run_checks(METRIC_CHECKS, MetricTrial(subject), skip)
    return concluded(Report(subject.plugin.label, tuple(results)), raise_on_failure)


def check_extension(
    plugin: object, *, skip: Collection[str] = (), raise_on_failure: bool = True
) -> Report:
    """Let a plugin measure and observe, and check that it keeps the contract.

    It takes part beside a stand-in method whose every hook is called, once with a failure.

    Args:
        plugin: A module or an object, the path of a `.py` file, or the name of an installed
            extension.
        skip: The names of checks to leave out.
        raise_on_failure: Raise where a check fails; otherwise only report it.

    Returns:
        What each check found. A check that can say nothing, as another one failed, is left out.

    Raises:
        ContractError: A check failed; the message names each that did, and how to mend it.
        RequestError: There is no such plugin or check, or the plugin cannot be imported.
    """
    refuse_unknown(skip, [check.name for check in EXTENSION_CHECKS])
    subject = find_subject(plugin, "extension")
    results = run_checks(EXTENSION_CHECKS, MetricTrial(subject), skip)
    return concluded(Report(subject.plugin.label, tuple(results)), raise_on_failure)


def _measures(subject: Subject) -> bool:
    return any(
        impl.hook == "compute_metrics" and not impl.is_wrapper
        for impl in implementations(subject.plugin)
    )
