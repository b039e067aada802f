"""What is installed: which distribution provides which plugin, read without importing any of them.

A plugin stands under an entry-point group: a method under `hooktune.methods`, where the entry
point's name is the method's display name, a log reader under `hooktune.logs`, where it is the name
of the format, a launcher under `hooktune.launchers`, and everything else under
`hooktune.extensions`. Names, distributions and versions come from metadata alone; only
`load_plugin` imports.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Final, Literal

import importlib_metadata
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from hooktune._version import __version__
from hooktune.errors import PluginRequestError, RequestError, did_you_mean, kind_and_text
from hooktune.naming import check_method_name

logger = logging.getLogger(__name__)

PluginKind = Literal["method", "extension", "log reader", "launcher"]
PluginStatus = Literal["available", "blocked", "refused"]

BLOCK_VARIABLE: Final = "HOOKTUNE_BLOCK"
ONLY_VARIABLE: Final = "HOOKTUNE_ONLY"
GROUPS: Final[dict[str, PluginKind]] = {
    "hooktune.methods": "method",
    "hooktune.extensions": "extension",
    "hooktune.logs": "log reader",
    "hooktune.launchers": "launcher",
}
_ORDER: Final = tuple(GROUPS.values())


def plugin_origin(distribution: str | None, version: str | None) -> str:
    """Say where a plugin comes from: its distribution and version, as far as they are known."""
    if distribution is None:
        return "given as an object"
    return f"{distribution} {version or 'of unknown version'}"


def plugin_label(kind: PluginKind, name: str, distribution: str | None, version: str | None) -> str:
    """Return a plugin as a message names it; one in a file with the file's digest."""
    return f"The {kind} {name!r} ({plugin_origin(distribution, version)})"


@dataclass(frozen=True)
class PluginEntry:
    """One entry point: a plugin that some distribution provides."""

    name: str
    """The entry point's name; of a method, its display name."""
    kind: PluginKind
    target: str
    """What to import: `module` or `module:attribute`."""
    distribution: str
    version: str | None
    """None where the distribution's metadata cannot be read."""
    status: PluginStatus = "available"
    reason: str = ""
    """Why the plugin is blocked or refused, and what to do about it."""

    @property
    def is_bundled(self) -> bool:
        """Whether it comes with hooktune itself."""
        return canonicalize_name(self.distribution) == "hooktune"

    @property
    def label(self) -> str:
        """The plugin as a message names it."""
        return plugin_label(self.kind, self.name, self.distribution, self.version)

    def refusal(self) -> PluginRequestError:
        """Return the error to raise when a blocked or refused plugin is asked for."""
        return PluginRequestError(f"{self.label} cannot be used: {self.reason}")


@dataclass(frozen=True)
class Catalogue:
    """All plugins that are installed, usable or not: methods first, each kind by name."""

    entries: tuple[PluginEntry, ...]

    def available(self, kind: PluginKind) -> tuple[PluginEntry, ...]:
        """Return the plugins of one kind that may be imported, by name."""
        return tuple(
            entry for entry in self.entries if entry.kind == kind and entry.status == "available"
        )

    def method(self, name: str, others: Iterable[str] = ()) -> PluginEntry:
        """Return the method of this display name.

        Args:
            name: The display name.
            others: The names of further methods, for the hint where there is none of this name.

        Raises:
            RequestError: No distribution provides it.
            PluginRequestError: It is blocked or refused; the message says why.
        """
        return self.named("method", name, others)

    def named(self, kind: PluginKind, name: str, others: Iterable[str] = ()) -> PluginEntry:
        """Return the plugin of one kind that has this name, as `method` does."""
        of_kind = self.available(kind)
        for entry in of_kind:
            if entry.name == name:
                return entry
        for entry in self.entries:
            if entry.kind == kind and entry.name == name:
                raise entry.refusal()
        known = did_you_mean(name, [*others, *(entry.name for entry in of_kind)])
        raise RequestError(f"There is no {kind} {name!r}. {known}")


def read_catalogue(block: Iterable[str] = (), only: Iterable[str] | None = None) -> Catalogue:
    """Read what is installed, importing no plugin.

    The environment variables `HOOKTUNE_BLOCK` and `HOOKTUNE_ONLY`, with names separated by commas,
    are minded as well. A plugin is named by its entry point's name or by its distribution's.

    Args:
        block: Plugins that must not be imported.
        only: The closed list of plugins that may be imported; None allows all.
    """
    blocked = {"--block": set(block), BLOCK_VARIABLE: _names_in(BLOCK_VARIABLE)}
    closed = {ONLY_VARIABLE: _names_in(ONLY_VARIABLE)} if _names_in(ONLY_VARIABLE) else {}
    if only is not None:
        closed["the closed list of plugins"] = set(only)
    entries = [_judged(entry, blocked, closed) for entry in _installed()]
    entries.sort(key=lambda entry: (_ORDER.index(entry.kind), entry.name, entry.distribution))
    return Catalogue(tuple(_without_clashes(entries)))


def load_plugin(entry: PluginEntry) -> object:
    """Import a plugin.

    Returns:
        What the entry point names: a module, or an object in one.

    Raises:
        PluginRequestError: It is blocked or refused, or cannot be imported, whatever it raised.
    """
    if entry.status != "available":
        raise entry.refusal()
    module, _, attribute = entry.target.partition("[")[0].partition(":")
    try:
        loaded = import_module(module.strip())
        return reduce(getattr, filter(None, attribute.strip().split(".")), loaded)
    except KeyboardInterrupt:
        raise
    # A plugin that calls sys.exit() when imported must not end the program.
    except BaseException as error:
        raise PluginRequestError(
            f"{entry.label} cannot be imported from {entry.target!r}: "
            f"{kind_and_text(error)}. Mend it, uninstall it, or {how_to_block(entry)}."
        ) from error


def _names_in(variable: str) -> set[str]:
    names = os.environ.get(variable, "").split(",")
    return {name.strip() for name in names if name.strip()}


def _installed() -> Iterator[PluginEntry]:
    """Give each distribution's plugins once, though its metadata may be found several times."""
    found: dict[str, list[PluginEntry]] = {}
    for distribution in importlib_metadata.distributions():
        try:
            points = [point for point in distribution.entry_points if point.group in GROUPS]
        except Exception as error:
            logger.warning("The entry points of %s cannot be read: %s", distribution, error)
            continue
        if not points:
            continue
        name, version, problem = _identity(distribution)
        key = canonicalize_name(name)
        # The first on the path is what an import finds; one that cannot be read gives way.
        if key in found and found[key][0].version is not None:
            continue
        found[key] = [
            PluginEntry(
                point.name, GROUPS[point.group], point.value, name, version,
                "refused" if problem else "available", problem,
            )
            for point in points
        ]  # fmt: skip
    for entries in found.values():
        yield from entries


def _identity(distribution: importlib_metadata.Distribution) -> tuple[str, str | None, str]:
    """Return a distribution's name, its version, and what keeps its plugins from being used."""
    try:
        name, version = distribution.name, distribution.version
        return name, version, _unmet_requirement(distribution)
    except Exception as error:
        folder = Path(str(getattr(distribution, "_path", distribution))).name
        problem = f"its distribution's metadata cannot be read ({error}); install it anew."
        return folder.partition("-")[0], None, problem


def _unmet_requirement(distribution: importlib_metadata.Distribution) -> str:
    for text in distribution.requires or ():
        with suppress(InvalidRequirement):
            requirement = Requirement(text)
            if canonicalize_name(requirement.name) != "hooktune":
                continue
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            if not requirement.specifier.contains(__version__, prereleases=True):
                return (
                    f"it needs hooktune{requirement.specifier} and this is hooktune {__version__}. "
                    f"Install a hooktune that fits, or another version of {distribution.name}."
                )
    return ""


def _judged(
    entry: PluginEntry, blocked: dict[str, set[str]], closed: dict[str, set[str]]
) -> PluginEntry:
    for setting, names in blocked.items():
        if _is_among(entry, names):
            return replace(entry, status="blocked", reason=f"{setting} blocks it.")
    for setting, names in closed.items():
        if not _is_among(entry, names):
            return replace(entry, status="blocked", reason=f"{setting} does not name it.")
    if entry.kind == "method" and entry.status == "available":
        try:
            check_method_name(entry.name)
        except RequestError as error:
            return replace(entry, status="refused", reason=str(error))
    return entry


def _is_among(entry: PluginEntry, names: Iterable[str]) -> bool:
    own = canonicalize_name(entry.distribution)
    return any(name == entry.name or canonicalize_name(name) == own for name in names)


def _without_clashes(entries: list[PluginEntry]) -> Iterator[PluginEntry]:
    """Refuse all plugins that claim the same name: which one is meant cannot be told."""
    usable = [entry for entry in entries if entry.status == "available"]
    claims = Counter((entry.kind, entry.name) for entry in usable)
    for entry in entries:
        if entry.status == "available" and claims[entry.kind, entry.name] > 1:
            rivals = [o for o in usable if (o.kind, o.name) == (entry.kind, entry.name)]
            claimants = " and ".join(f"{o.distribution} {o.version} ({o.target})" for o in rivals)
            remedies = " or ".join(dict.fromkeys(map(how_to_block, rivals)))
            reason = f"its name is claimed by {claimants}; {remedies}."
            yield replace(entry, status="refused", reason=reason)
        else:
            yield entry


def how_to_block(entry: PluginEntry) -> str:
    """Say which settings keep a plugin from being imported."""
    name = entry.distribution
    return f"block it with {BLOCK_VARIABLE}={name} or --block {name}"
