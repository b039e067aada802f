"""The versions of the plugins that take part, so that two machines can be told to have the same."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from hooktune._version import __version__
from hooktune.errors import RequestError
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.file import SUFFIX, read_plugin_file


def plugin_versions(methods: Iterable[str] | None, block: Iterable[str] = ()) -> dict[str, str]:
    """Return the version of hooktune and of each distribution or file whose plugins take part.

    Args:
        methods: Names or files of methods; None for all that are installed.
        block: Plugins that must not be imported.

    Raises:
        PluginRequestError: There is no such file.
    """
    chosen = None if methods is None else [*methods]
    versions = {"hooktune": __version__}
    for entry in read_catalogue(block).entries:
        takes_part = entry.kind == "extension" or (
            entry.kind == "method" and (chosen is None or entry.name in chosen)
        )
        if entry.status != "blocked" and takes_part:
            versions[entry.distribution] = entry.version or "unknown"
    for path in filter(lambda name: name.endswith(SUFFIX), chosen or ()):
        digest = hashlib.sha256(read_plugin_file(Path(path))).hexdigest()
        versions[path] = f"sha256:{digest[:12]}"
    return versions


def check_same_versions(expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuse to work where other plugins are installed than where the command was given.

    Raises:
        RequestError: A version differs, or a plugin is missing or too much.
    """
    differing = [
        f"{name} {found.get(name, 'is missing')} and not {version}"
        for name, version in sorted(expected.items())
        if found.get(name) != version
    ]
    differing += [
        f"{name} {found[name]}, which is not there" for name in sorted(found.keys() - expected)
    ]
    if differing:
        raise RequestError(
            "The plugins of this worker are not those of the machine where the command was "
            f"given: here is {'; '.join(differing)}. Install the same versions on both, or block "
            "what is not needed by --block."
        )
