"""The hooks of samplers, which propose the hyper-parameters of runs."""

from typing import TYPE_CHECKING

from hooktune.contract.hook_markers import hookspec

if TYPE_CHECKING:
    from hooktune.contract.proposal import Proposal, Search


@hookspec
def samplers() -> dict[str, str]:  # type: ignore[empty-body]
    """Tell which samplers the plugin brings.

    Called in each iteration before any run, perhaps more than once.

    Returns:
        What each does, in a few words, by the name that `--search` takes.

    Since 0.1. Implemented by any plugin that has `propose`.
    """


@hookspec
def propose(sampler: str, search: "Search") -> "Proposal | None":
    """Propose the hyper-parameters of a run.

    Called just before a run begins, of the plugin that brings the sampler; again for the same run
    where the set cannot be taken, with a higher `search.attempt`; and for runs to come, to tell
    what would be run. It keeps nothing between two calls, and what is random in it follows
    `search.seed`, `search.number` and `search.attempt`, so that a search goes on after any death,
    in any process.

    Args:
        sampler: One of the names that `samplers` returned.
        search: What is searched, what other runs came to, and which run it is.

    Returns:
        The values of hyper-parameters by name, and where they come from; None where there is
        nothing more to try.

    Since 0.1. Implemented by any plugin.
    """
