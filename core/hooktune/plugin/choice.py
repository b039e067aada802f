"""Which plugins a program may use, and opening a method together with the extensions."""

from collections.abc import Iterable
from pathlib import Path

from hooktune.errors import RequestError
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.checks import Plugin, given_plugin
from hooktune.plugin.file import SUFFIX, plugin_from_file, read_plugin_file
from hooktune.plugin.host import Host
from hooktune.plugin.isolation import PluginChecks, refuse_failed
from hooktune.plugin.opening import open_host
from hooktune.progress import phase


class PluginChoice:
    """The plugins that a program may use; none of them is imported before it is needed.

    Args:
        block: Plugins that must not be imported, by entry point or distribution name.
        only: The closed list of plugins that may be imported; None allows all that are installed.
        given: Plugins that need not be installed: modules, objects, or paths of Python files.
    """

    def __init__(
        self, block: Iterable[str], only: Iterable[str] | None, given: Iterable[object]
    ) -> None:
        self._block = tuple(block)
        self._only = None if only is None else tuple(only)
        self._given = tuple(given)

    def method_names(self) -> list[str]:
        """Return the names of all methods.

        Raises:
            RequestError: There is none.
        """
        installed = read_catalogue(self._block, self._only).available("method")
        names = [entry.name for entry in installed]
        names += [plugin.name for plugin in self._given_plugins() if plugin.kind == "method"]
        if not names:
            raise RequestError("There is no method that could be run. See `hooktune plugins`.")
        return names

    def check_names(self, methods: Iterable[str]) -> None:
        """Refuse at once what is no method, before anything is imported.

        Args:
            methods: Names or files of methods, as for `open_host`.

        Raises:
            RequestError: There is no such method, or it must not be imported.
        """
        catalogue = read_catalogue(self._block, self._only)
        names = [plugin.name for plugin in self._given_plugins() if plugin.kind == "method"]
        for method in methods:
            if method in names:
                continue
            if method.endswith(SUFFIX):
                read_plugin_file(Path(method))
            else:
                catalogue.method(method, names)

    def name_of(self, method: str) -> str:
        """Return the display name of a method that is given by its name or its file.

        Raises:
            RequestError: There is no such file, or it cannot be imported.
        """
        return plugin_from_file(method, "method").name if method.endswith(SUFFIX) else method

    def open_host(self, method: str) -> Host:
        """Import a method and the extensions; those of others not before they are checked.

        Args:
            method: The method's display name, or the path of a Python file, which ends with `.py`.

        Raises:
            RequestError: There is no such method, or it cannot be used.
        """
        catalogue = read_catalogue(self._block, self._only)
        given = self._given_plugins()
        names = [plugin.name for plugin in given if plugin.kind == "method"]
        wanted = list(catalogue.available("extension"))
        if method in names:
            pass
        elif method.endswith(SUFFIX):
            given.append(plugin_from_file(method, "method"))
            method = given[-1].name
        else:
            wanted.append(catalogue.method(method, names))
        foreign = [entry for entry in wanted if not entry.is_bundled]
        if foreign:
            checking = phase("checking that the plugins can be imported", len(foreign))
            with checking, PluginChecks(foreign) as checks:
                import sentence_transformers  # noqa: F401 - takes as long as the checks

                catalogue = refuse_failed(catalogue, checks.verdicts())
        return open_host(catalogue, method, given)

    def _given_plugins(self) -> list[Plugin]:
        return [
            plugin_from_file(plugin) if isinstance(plugin, str | Path) else given_plugin(plugin)
            for plugin in self._given
        ]
