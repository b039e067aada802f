"""The hook of launchers; see `hooktune.contract.hooks`."""

from typing import TYPE_CHECKING

from hooktune.contract.hook_markers import hookspec

if TYPE_CHECKING:
    from hooktune.contract.launching import Resources, Worker, WorkerCommand


@hookspec(firstresult=True)
def launch(command: "WorkerCommand", resources: "Resources") -> "Worker":  # type: ignore[empty-body]
    """Launch a worker: run a command somewhere, and do not wait for it.

    Called once for each worker of `hooktune run --workers N`, before any of them is waited for. All
    are to see the same tracking store; what they do, they share out by it.

    Args:
        command: What to run. `command.start()` runs it on the machine that calls it.
        resources: What it is to have; what is None, the launcher decides.

    Returns:
        A `Worker`: something with `poll`, `stop` and `messages`.

    Since 0.1. Implemented by a launcher; required.
    """
