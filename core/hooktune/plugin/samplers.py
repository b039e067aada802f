"""Which plugin proposes hyper-parameters, under which name."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from hooktune.contract.proposal import Proposal, Search
from hooktune.errors import PluginError, RequestError, did_you_mean
from hooktune.plain_text import kind_of
from hooktune.plugin.checks import Plugin
from hooktune.plugin.guard import broken_contract

Callers = Mapping[Plugin, Callable[..., Any]]
"""What calls a hook of one plugin alone."""

DEFAULT_SAMPLER: Final = "warm"


class Samplers:
    """The samplers of an iteration's plugins.

    Args:
        namers: Call `samplers` of each plugin that has it.
        proposers: Call `propose`.
    """

    def __init__(self, namers: Callers, proposers: Callers) -> None:
        self._namers = namers
        self._proposers = proposers

    def names(self) -> dict[str, str]:
        """Return what each sampler does, by its name.

        Raises:
            PluginError: A plugin failed or broke the contract, or two bring one name.
        """
        return {name: words for name, (_, words) in self._found().items()}

    def check(self, sampler: str) -> None:
        """Make sure that there is a sampler of this name.

        Raises:
            RequestError: There is none.
        """
        known = self._found()
        if sampler not in known:
            raise RequestError(
                f"There is no search {sampler!r} in the plugins. {did_you_mean(sampler, known)}"
            )

    def propose(self, sampler: str, search: Search) -> Proposal | None:
        """Ask a sampler for the hyper-parameters of a run.

        Raises:
            RequestError: There is no such sampler.
            PluginError: Its plugin failed, or gave no `Proposal`.
        """
        self.check(sampler)
        plugin, _ = self._found()[sampler]
        for proposal in self._proposers[plugin](sampler=sampler, search=search):
            if not isinstance(proposal, Proposal):
                problem = f"it returned {kind_of(proposal)}, not a Proposal"
                raise broken_contract(plugin, "propose", problem)
            return proposal
        return None

    def _found(self) -> dict[str, tuple[Plugin, str]]:
        found: dict[str, tuple[Plugin, str]] = {}
        for plugin, call in self._namers.items():
            for given in call():
                if problem := _problem_of_names(given):
                    raise broken_contract(plugin, "samplers", problem)
                if given and plugin not in self._proposers:
                    problem = "it names samplers and has no hook 'propose'"
                    raise broken_contract(plugin, "samplers", problem)
                for name, words in given.items():
                    if name in found:
                        raise PluginError(
                            f"Two plugins bring the sampler {name!r}: {found[name][0].label} and "
                            f"{plugin.label}. Rename it in one of them, or block one of them."
                        )
                    found[name] = plugin, words
        return found


def _problem_of_names(given: object) -> str:
    if not isinstance(given, dict):
        return f"it returned {kind_of(given)}, not a dict of words by name"
    for name, words in given.items():
        if not isinstance(name, str) or not isinstance(words, str):
            return f"it names {name!r} with {kind_of(words)}, and texts are meant"
    return ""
