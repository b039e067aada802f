"""The guard around each function of a plugin, so that each failure finds its plugin.

A wrapper only observes. Whatever it does - raise, swallow the hook's exception, return something
else or nothing - the hook's own result or exception goes on unchanged, so that no timer and no
notification can stop or alter a training.
"""

import logging
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pluggy

from hooktune.contract import hooks as hookspecs
from hooktune.contract.hooks import hookimpl
from hooktune.errors import HooktuneError, PluginError, interruption_unhidden, kind_and_text
from hooktune.plugin.checks import OBSERVER_HOOKS, Implementation, Plugin

logger = logging.getLogger(__name__)

Report = Callable[[Plugin, str, str], None]
"""Takes the failure of an observer: its plugin, the hook and the reason."""


class _Guarded:
    """Holds functions for pluggy, which compares and hashes what it registers.

    Each looks like its hook's specification, so that pluggy hands over all arguments and need not
    look through a plugin's decorators for those that it takes.
    """


def warn_of_failure(plugin: Plugin, hook: str, reason: str) -> None:
    """Log the failure of an observer."""
    logger.warning("%s failed around %s, and the work goes on: %s", plugin.label, hook, reason)


def guarded(
    plugin: Plugin, impls: Iterable[Implementation], report: Report = warn_of_failure
) -> object:
    """Return an object to register with pluggy in place of a plugin: its functions, guarded.

    An implementation that raises does so as a `PluginError` that names the plugin and the hook. The
    failure of a wrapper, or of an observer's own hook, is reported and the call goes on.
    """
    holder = _Guarded()
    for impl in impls:
        guard = (
            _guarded_wrapper(plugin, impl, report)
            if impl.is_wrapper
            else _guarded_observer(plugin, impl, report)
            if impl.hook in OBSERVER_HOOKS
            else _guarded_implementation(plugin, impl)
        )
        options = impl.options | {"wrapper": impl.is_wrapper, "hookwrapper": False}
        setattr(holder, impl.attribute, hookimpl(**options)(guard))
    return holder


def _guarded_implementation(plugin: Plugin, impl: Implementation) -> Callable[..., Any]:
    @wraps(getattr(hookspecs, impl.hook))
    def call(*args: Any) -> Any:
        try:
            with _in_one_process(), interruption_unhidden():
                return impl(args)
        except HooktuneError:
            # Raised on purpose, by the plugin or by what it called: it says already what is wrong.
            raise
        except KeyboardInterrupt:
            raise
        # A plugin that calls sys.exit(), or raises some other BaseException, must end no program.
        except BaseException as error:
            raise failure_in(plugin, impl.hook, error) from error

    return call


def _guarded_observer(plugin: Plugin, impl: Implementation, report: Report) -> Callable[..., Any]:
    @wraps(getattr(hookspecs, impl.hook))
    def call(*args: Any) -> None:
        try:
            with _in_one_process(), interruption_unhidden():
                impl(args)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            report(plugin, impl.hook, kind_and_text(error))

    return call


def _guarded_wrapper(plugin: Plugin, impl: Implementation, report: Report) -> Callable[..., Any]:
    def begun(args: tuple[Any, ...]) -> Generator[None, Any, Any] | None:
        try:
            wrapper: Generator[None, Any, Any] = impl(args)
            next(wrapper)
        except KeyboardInterrupt:
            raise
        except StopIteration:
            report(plugin, impl.hook, "it returned without a `yield`")
        except BaseException as error:
            report(plugin, impl.hook, kind_and_text(error))
        else:
            return wrapper
        return None

    def finish(
        wrapper: Generator[None, Any, Any], result: Any, error: BaseException | None
    ) -> None:
        try:
            if impl.options.get("hookwrapper"):
                wrapper.send(pluggy.Result(result, error))
            elif error is not None:
                wrapper.throw(error)
            else:
                wrapper.send(result)
            wrapper.close()
            report(plugin, impl.hook, "it has a second `yield`")
        except StopIteration as stop:
            if stop.value is not None and stop.value is not result:
                report(plugin, impl.hook, "it returned another result, and a wrapper only observes")
        except BaseException as raised:
            if raised is error:
                return
            if isinstance(raised, KeyboardInterrupt):
                raise
            report(plugin, impl.hook, kind_and_text(raised))

    @wraps(getattr(hookspecs, impl.hook))
    def observe(*args: Any) -> Generator[None, Any, Any]:
        wrapper = begun(args)
        try:
            result = yield
        except BaseException as error:
            if wrapper is not None:
                finish(wrapper, None, error)
            raise
        if wrapper is not None:
            finish(wrapper, result, None)
        return result

    return observe


@contextmanager
def _in_one_process() -> Iterator[None]:
    """End the child that a plugin has forked and let return, which would do the work once more."""
    own = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != own:
            os._exit(1)


def failure_in(plugin: Plugin, hook: str, error: BaseException) -> PluginError:
    """Return the error that a plugin failed in a hook."""
    return PluginError(f"{plugin.label} failed in {hook}: {kind_and_text(error)}")


def broken_contract(plugin: Plugin, hook: str, problem: str) -> PluginError:
    """Return the error that what a plugin gave for a hook cannot be used."""
    return PluginError(f"{plugin.label} breaks the contract of {hook}: {problem}.")
