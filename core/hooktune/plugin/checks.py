"""What makes an object a plugin: its hooks, how their functions look and what they return.

Plugins are checked when they are chosen, because pluggy passes over most mistakes in silence: a
misspelt hook is never called, and an argument with a default never receives its value.
"""

import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Literal, get_args

import pluggy

from hooktune.contract import hooks as hookspecs
from hooktune.contract.hooks import PROJECT_NAME
from hooktune.contract.metric import LOSS
from hooktune.errors import PluginRequestError, did_you_mean
from hooktune.naming import problem_of_key
from hooktune.plain_text import kind_of
from hooktune.plugin.catalogue import (
    GROUPS,
    PluginEntry,
    PluginKind,
    load_plugin,
    plugin_label,
    plugin_origin,
)

logger = logging.getLogger(__name__)

REQUIRED_HOOKS: Final[dict[str, PluginKind]] = {
    "fit_batch": "method",
    "read_log": "log reader",
    "launch": "launcher",
}
"""The hooks without which a plugin of some kind is none."""
ObserverHook = Literal["run_finished", "iteration_finished", "promoted"]
OBSERVER_HOOKS: Final[tuple[ObserverHook, ...]] = get_args(ObserverHook)
"""The hooks that are told of something; an implementation that fails stops nothing."""
SHARED_HOOKS: Final = (
    "compute_metrics", "describe_metrics", "report_sections", "samplers", "propose",
    *OBSERVER_HOOKS,
)  # fmt: skip
"""The hooks that an extension may implement too; all others it may only wrap."""
OWN_HOOKS: Final[dict[PluginKind, tuple[str, ...]]] = {
    "log reader": ("recognise_log", "guess_columns", "read_log"),
    "launcher": ("launch",),
}
"""The hooks of the kinds of plugins that have no others, and whose hooks are nobody else's."""

RESERVED_PREFIX: Final = "hooktune."
"""What the names of the host's own params begin with."""


@dataclass(frozen=True, eq=False)
class Plugin:
    """A plugin at hand: an imported module or an object, under its name."""

    name: str
    kind: PluginKind
    object: object
    distribution: str | None = None
    """The distribution or the file that it comes from; None for an object given directly."""
    version: str | None = None
    """The distribution's version, or the file's digest."""
    from_file: bool = False

    @property
    def origin(self) -> str:
        """The distribution and version that the plugin comes from."""
        return plugin_origin(self.distribution, self.version)

    @property
    def label(self) -> str:
        """The plugin as a message names it."""
        return plugin_label(self.kind, self.name, self.distribution, self.version)


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that is left out, or an observer that failed, and why."""

    name: str
    kind: PluginKind
    distribution: str | None
    version: str | None
    reason: str
    hook: str | None = None
    """The hook that was being called; None where the plugin was left out altogether."""

    def __str__(self) -> str:
        if self.hook is None:
            return f"A plugin is left out. {self.reason}"
        label = plugin_label(self.kind, self.name, self.distribution, self.version)
        where = "in" if self.hook in OBSERVER_HOOKS else "around"
        return f"{label} failed {where} {self.hook}, and the work goes on: {self.reason}."


@dataclass(frozen=True, eq=False)
class Implementation:
    """A function of a plugin that is marked as the implementation of a hook."""

    attribute: str
    hook: str
    function: Callable[..., Any]
    signature: inspect.Signature
    options: dict[str, Any]

    @property
    def is_wrapper(self) -> bool:
        """Whether it wraps the hook's other implementations, in either style of pluggy."""
        return bool(self.options.get("wrapper") or self.options.get("hookwrapper"))

    def __call__(self, values: tuple[Any, ...]) -> Any:
        """Call the function with those of the hook's arguments that it takes."""
        given = dict(zip(HOOKS[self.hook], values, strict=True))
        return self.function(*(given[name] for name in self.signature.parameters))


def _hooks() -> dict[str, tuple[str, ...]]:
    manager = pluggy.PluginManager(PROJECT_NAME)
    names = (name for name in dir(hookspecs) if manager.parse_hookspec_opts(hookspecs, name))
    return {name: tuple(inspect.signature(getattr(hookspecs, name)).parameters) for name in names}


HOOKS: Final = _hooks()
"""The arguments of each hook."""


def imported_plugin(entry: PluginEntry) -> Plugin:
    """Import a plugin of the catalogue.

    Raises:
        PluginRequestError: It cannot be imported.
    """
    found = load_plugin(entry)
    return Plugin(entry.name, entry.kind, found, entry.distribution, entry.version)


def given_plugin(found: object, name: str | None = None) -> Plugin:
    """Make a plugin of a module or an object that was never installed.

    Args:
        found: What holds the hook implementations; with `fit_batch` among them it is a method.
        name: Its name where it has no text `NAME` of its own; by default the module's or the
            object's class's.
    """
    own_name = getattr(found, "NAME", None)
    if not isinstance(own_name, str):
        own_name = name or getattr(found, "__name__", None) or type(found).__name__
    own_hooks = {impl.hook for impl in _hook_implementations(found) if not impl.is_wrapper}
    kind: PluginKind = "method" if "fit_batch" in own_hooks else "extension"
    return Plugin(own_name, kind, found)


def implementations(plugin: Plugin) -> tuple[Implementation, ...]:
    """Check a plugin and return its implementations of the hooks that are known.

    Raises:
        PluginRequestError: The plugin breaks the contract; the message names every mistake and
            says how to mend it.
    """
    found: tuple[Implementation, ...] = ()
    if isinstance(plugin.object, type):
        problems = [
            f"{plugin.object.__name__} is a class, and an instance or a module is meant. "
            f"Make an instance in the module, `plugin = {plugin.object.__name__}()`, and name "
            "that one."
        ]
    else:
        try:
            found = tuple(_hook_implementations(plugin.object))
            problems = list(_problems(plugin, found))
        except Exception as error:
            # Properties and odd `__getattr__` methods run when a plugin is looked through.
            raise PluginRequestError(
                f"{plugin.label} cannot be looked through: {type(error).__name__}: {error}."
            ) from error
    if problems:
        listed = problems[0] if len(problems) == 1 else "".join(f"\n- {p}" for p in problems)
        raise PluginRequestError(f"{plugin.label} breaks the contract of a plugin: {listed}")
    return tuple(impl for impl in found if impl.hook in HOOKS)


def _hook_implementations(found: object) -> Iterator[Implementation]:
    manager = pluggy.PluginManager(PROJECT_NAME)
    for attribute in dir(found):
        options = manager.parse_hookimpl_opts(found, attribute)
        if options is not None:
            hook = options.get("specname") or attribute
            function = getattr(found, attribute)
            signature = inspect.signature(function)
            yield Implementation(attribute, hook, function, signature, dict(options))


def _problems(plugin: Plugin, found: tuple[Implementation, ...]) -> Iterator[str]:
    marked = {impl.attribute for impl in found}
    functions = [
        name for name in dir(plugin.object) if inspect.isroutine(getattr(plugin.object, name, None))
    ]
    unmarked = [name for name in HOOKS if name in functions and name not in marked]
    if not found and not unmarked:
        yield "it has no function that is marked with @hooktune.hookimpl."
        return
    for impl in found:
        yield from _problems_of(impl, plugin.kind)
    implemented = {impl.hook for impl in found if not impl.is_wrapper}
    required = [hook for hook, kind in REQUIRED_HOOKS.items() if plugin.kind == kind]
    for hook in required:
        if hook not in implemented and hook not in unmarked:
            near = get_close_matches(hook, set(functions) - marked, n=1, cutoff=0.8)
            hint = f" Is {near[0]!r} meant? Name it {hook!r} and mark it." if near else ""
            yield f"it lacks the hook {hook!r}, which every {plugin.kind} implements.{hint}"
    for hook in unmarked:
        forgotten = f"its function {hook!r} is not marked; write @hooktune.hookimpl above it."
        if hook in required or not found:
            yield forgotten
        elif hook not in implemented:
            logger.warning("%s: %s Until then it is never called.", plugin.label, forgotten)


def _problems_of(impl: Implementation, kind: PluginKind) -> Iterator[str]:
    if impl.hook not in HOOKS:
        if not impl.options.get("optionalhook"):
            yield f"{impl.hook!r} is no hook. {did_you_mean(impl.hook, HOOKS)}"
        return
    owner = next((each for each, hooks in OWN_HOOKS.items() if impl.hook in hooks), None)
    one_of_them = owner or (kind if kind in OWN_HOOKS else None)
    if one_of_them is not None and kind != owner:
        group = next(group for group, each in GROUPS.items() if each == one_of_them)
        yield (
            f"{impl.hook!r} is no hook of a {kind}. A {one_of_them}, under the entry-point group "
            f"{group}, has these hooks and no others: {', '.join(OWN_HOOKS[one_of_them])}."
        )
    elif kind == "extension" and not impl.is_wrapper and impl.hook not in SHARED_HOOKS:
        yield (
            f"{impl.hook!r} belongs to a method, and an extension may only wrap it: mark it with "
            "@hooktune.hookimpl(wrapper=True), or provide a method, under the entry-point group "
            "hooktune.methods."
        )
    yield from _problems_of_arguments(impl)
    is_generator = inspect.isgeneratorfunction(impl.function)
    if inspect.iscoroutinefunction(impl.function) or inspect.isasyncgenfunction(impl.function):
        yield f"{impl.attribute!r} is an async function; hooks are called without awaiting."
    elif impl.options.get("wrapper") and impl.options.get("hookwrapper"):
        yield f"{impl.attribute!r} is marked with both wrapper and hookwrapper; keep wrapper=True."
    elif impl.is_wrapper and not is_generator:
        yield f"{impl.attribute!r} is marked as a wrapper and has no `yield`; a wrapper has one."
    # Only the parts of a log may come one after the other.
    elif is_generator and not impl.is_wrapper and impl.hook != "read_log":
        yield (
            f"{impl.attribute!r} has a `yield`; return the result instead, or mark it with "
            "@hooktune.hookimpl(wrapper=True) if it wraps the hook."
        )


def _problems_of_arguments(impl: Implementation) -> Iterator[str]:
    known = HOOKS[impl.hook]
    for name, argument in impl.signature.parameters.items():
        where = f"the argument {name!r} of {impl.attribute!r}"
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            yield (
                f"{impl.attribute!r} takes {argument}, which would stay empty; name the arguments "
                f"that it needs, out of {', '.join(known) or 'none'}."
            )
        elif name not in known:
            yield f"{where} is not one of the hook's. {did_you_mean(name, known)}"
        elif argument.default is not argument.empty:
            yield f"{where} has a default, which would hide the hook's value; remove the default."
        elif argument.kind == argument.KEYWORD_ONLY:
            yield f"{where} is keyword-only; remove the `*` before it."


IS_MEASURED: Final = (
    "the metric {name!r} has the name of one that hooktune measures itself; call it otherwise"
)
LOSS_IS_RESERVED: Final = (
    f"it gives the metric {LOSS!r}, which hooktune itself tracks as train_loss and test_loss. Give "
    "it another name; a method gives its loss to run.use_loss"
)


def problem_of_schema(schema: object) -> str:
    """Say what keeps the result of `hyper_parameters` from being used; empty where nothing."""
    from pydantic import BaseModel

    from hooktune.contract.search_space import refused_draws

    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return f"it returned {kind_of(schema)}, not a class derived from pydantic.BaseModel"
    for name, field in schema.model_fields.items():
        if field.is_required():
            return f"the hyper-parameter {name!r} of {schema.__name__} has no default; give it one"
        for label in {name, field.alias or name}:
            problem = problem_of_key(label)
            if label.startswith(RESERVED_PREFIX):
                problem = f"begins with {RESERVED_PREFIX!r}, which hooktune keeps for itself"
            if problem:
                return f"the hyper-parameter {label!r} of {schema.__name__} {problem}"
        if {field.alias, field.validation_alias, field.serialization_alias} != {None}:
            return (
                f"the hyper-parameter {name!r} of {schema.__name__} has an alias, and people give "
                "and read hyper-parameters by the names of their fields; remove the alias"
            )
    try:
        schema()
    except Exception as error:
        return f"{schema.__name__} cannot be made from its own defaults: {error}"
    return " ".join(refused_draws(schema)).rstrip(".")
