"""What stands between pluggy and a plugin's functions, so that each failure finds its plugin.

A wrapper only observes. Whatever it does - raise, swallow the hook's exception, return something
else or nothing - the hook's own result or exception goes on unchanged, so that no timer and no
notification can stop or alter a training.
"""

from collections.abc import Callable, Generator, Iterable
from functools import wraps
from typing import Any

import pluggy

from hooktune.contract import hooks as hookspecs
from hooktune.contract.hooks import hookimpl
from hooktune.errors import HooktuneError, PluginError
from hooktune.plugin.checks import Implementation, Plugin

Report = Callable[[Plugin, str, str], None]
"""Takes the failure of a wrapper: its plugin, the hook and the reason."""


class _StandIn:
    """Holds functions for pluggy, which compares and hashes what it registers.

    Each looks like its hook's specification, so that pluggy hands over all arguments and need not
    look through a plugin's decorators for those that it takes.
    """


def stand_in(plugin: Plugin, functions: Iterable[Implementation], report: Report) -> object:
    """Return an object to register with pluggy in place of a plugin.

    An implementation that raises does so as a `PluginError` that names the plugin and the hook; a
    wrapper's failure is reported and the call goes on.
    """
    holder = _StandIn()
    for each in functions:
        guard = _observer(plugin, each, report) if each.is_wrapper else _guard(plugin, each)
        options = each.options | {"wrapper": each.is_wrapper, "hookwrapper": False}
        setattr(holder, each.attribute, hookimpl(**options)(guard))
    return holder


def _guard(plugin: Plugin, each: Implementation) -> Callable[..., Any]:
    @wraps(getattr(hookspecs, each.hook))
    def call(*args: Any) -> Any:
        try:
            return each(args)
        except HooktuneError:
            # Raised on purpose, by the plugin or by what it called: it says already what is wrong.
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{plugin.label} failed in {each.hook}: {_described(error)}"
            ) from error

    return call


def _observer(plugin: Plugin, each: Implementation, report: Report) -> Callable[..., Any]:
    def begun(args: tuple[Any, ...]) -> Generator[None, Any, Any] | None:
        try:
            wrapper: Generator[None, Any, Any] = each(args)
            next(wrapper)
        except KeyboardInterrupt:
            raise
        except StopIteration:
            report(plugin, each.hook, "it returned without a `yield`")
        except BaseException as error:
            report(plugin, each.hook, _described(error))
        else:
            return wrapper
        return None

    def finish(
        wrapper: Generator[None, Any, Any], result: Any, error: BaseException | None
    ) -> None:
        try:
            if each.options.get("hookwrapper"):
                wrapper.send(pluggy.Result(result, error))
            elif error is not None:
                wrapper.throw(error)
            else:
                wrapper.send(result)
            wrapper.close()
            report(plugin, each.hook, "it has a second `yield`")
        except StopIteration as stop:
            if stop.value is not None and stop.value is not result:
                report(plugin, each.hook, "it returned another result, and a wrapper only observes")
        except BaseException as raised:
            if raised is error:
                return
            if isinstance(raised, KeyboardInterrupt):
                raise
            report(plugin, each.hook, _described(raised))

    @wraps(getattr(hookspecs, each.hook))
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


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
