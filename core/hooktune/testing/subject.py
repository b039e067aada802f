"""The plugin that is to be checked, however it was named."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from hooktune.errors import RequestError, did_you_mean
from hooktune.plugin.catalogue import PluginEntry, PluginKind, read_catalogue
from hooktune.plugin.checks import Plugin, given_plugin, imported_plugin
from hooktune.plugin.file import SUFFIX, plugin_from_file


@dataclass(frozen=True)
class Subject:
    """A plugin and, where it has one, the module that is imported for it."""

    plugin: Plugin
    module: ModuleType | None


def find_subject(plugin: object, kind: PluginKind) -> Subject:
    """Find the plugin that is meant.

    Args:
        plugin: A module or an object, the path of a `.py` file, or the name of an installed plugin.
        kind: What it is checked as.

    Raises:
        RequestError: There is no such file or plugin.
        PluginRequestError: It is blocked or refused, or cannot be imported.
    """
    if isinstance(plugin, Path) or (isinstance(plugin, str) and plugin.endswith(SUFFIX)):
        found = plugin_from_file(plugin, kind)
        return Subject(found, _module_of(found.object))
    if isinstance(plugin, str):
        entry = _installed(plugin, kind)
        found = imported_plugin(entry)
        return Subject(found, sys.modules.get(entry.target.partition(":")[0].strip()))
    found = replace(plugin if isinstance(plugin, Plugin) else given_plugin(plugin), kind=kind)
    return Subject(found, _module_of(found.object))


def _module_of(found: object) -> ModuleType | None:
    return found if isinstance(found, ModuleType) and hasattr(found, "__file__") else None


def _installed(name: str, kind: PluginKind) -> PluginEntry:
    catalogue = read_catalogue()
    if kind == "method":
        return catalogue.method(name)
    extensions = [entry for entry in catalogue.entries if entry.kind == kind]
    for entry in extensions:
        if entry.name == name:
            return entry
    known = did_you_mean(name, [entry.name for entry in extensions])
    raise RequestError(f"There is no extension {name!r}. {known}")
