"""The launchers of workers: which one is meant, and calling it so that each failure finds it."""

from collections.abc import Iterable
from dataclasses import dataclass

import pluggy

from hooktune.contract import hooks as hookspecs
from hooktune.contract.hooks import PROJECT_NAME
from hooktune.contract.launching import Resources, Worker, WorkerCommand
from hooktune.plain_text import kind_of
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.checks import Plugin, implementations, imported_plugin
from hooktune.plugin.guard import broken_contract, guarded


@dataclass(frozen=True, eq=False)
class Launcher:
    """A launcher that was chosen."""

    plugin: Plugin

    def launch(self, command: WorkerCommand, resources: Resources) -> Worker:
        """Launch a worker.

        Raises:
            RequestError: It cannot have these resources.
            PluginError: The launcher failed, or returned something else.
        """
        manager = pluggy.PluginManager(PROJECT_NAME)
        manager.add_hookspecs(hookspecs)
        own = guarded(self.plugin, implementations(self.plugin))
        manager.register(own, name=self.plugin.name)
        worker = manager.hook.launch(command=command, resources=resources)
        if not isinstance(worker, Worker):
            raise broken_contract(
                self.plugin, "launch",
                f"it returned {kind_of(worker)}, which has not poll, stop and messages",
            )  # fmt: skip
        return worker


def choose_launcher(name: str, block: Iterable[str] = ()) -> Launcher:
    """Return the launcher of a name.

    Args:
        name: Its name, such as `local`.
        block: Plugins that must not be imported.

    Raises:
        RequestError: There is no such launcher.
        PluginRequestError: It cannot be used.
    """
    plugin = imported_plugin(read_catalogue(block).named("launcher", name))
    implementations(plugin)
    return Launcher(plugin)
