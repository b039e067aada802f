"""Opening a host: the chosen method and all extensions that there are."""

from collections.abc import Iterable

from hooktune.errors import PluginRequestError
from hooktune.naming import check_method_name
from hooktune.plugin.catalogue import Catalogue
from hooktune.plugin.checks import Plugin, PluginFailure, imported_plugin
from hooktune.plugin.host import Host


def open_host(catalogue: Catalogue, method: str, given: Iterable[Plugin] = ()) -> Host:
    """Open a host with the method of this name and all extensions that there are.

    Args:
        catalogue: What is installed.
        method: The method's display name.
        given: Plugins at hand that need not be installed, beside those of the catalogue.

    Raises:
        RequestError: No such method, or a given plugin has a name that is taken.
        PluginRequestError: The method is blocked, refused, cannot be imported or breaks the
            contract.
    """
    given = tuple(given)
    _check_names(given, catalogue)
    for plugin in given:
        if plugin.kind == "method" and plugin.name == method:
            chosen = plugin
            break
    else:
        names = [plugin.name for plugin in given if plugin.kind == "method"]
        chosen = imported_plugin(catalogue.method(method, names))
    extensions = [plugin for plugin in given if plugin.kind == "extension"]
    failures = []
    for entry in catalogue.entries:
        if entry.kind != "extension" or entry.status == "blocked":
            continue
        try:
            extensions.append(imported_plugin(entry))
        except PluginRequestError as error:
            failures.append(
                PluginFailure(entry.name, entry.kind, entry.distribution, entry.version, str(error))
            )
    return Host(chosen, extensions, failures)


def _check_names(given: Iterable[Plugin], catalogue: Catalogue) -> None:
    taken = {
        (entry.kind, entry.name): entry.label
        for entry in catalogue.entries
        if entry.status == "available"
    }
    for plugin in given:
        if plugin.kind == "method":
            check_method_name(plugin.name)
        key = (plugin.kind, plugin.name)
        if key in taken:
            raise PluginRequestError(
                f"{plugin.label} has the name of another plugin: {taken[key]}. Give it another "
                "one as its NAME, or block the installed one."
            )
        taken[key] = plugin.label
