"""What tells the runs of one iteration apart: same key, same work."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from hooktune.contract.search_space import search_mark
from hooktune.plugin.host import Host
from hooktune.tracking import RunRecord
from hooktune.tracking.records import PLUGIN_TAG, named_tag, to_json
from hooktune.tracking.search_tags import AVERAGE_TAG, run_number, searched_names

if TYPE_CHECKING:
    from pydantic import BaseModel

_DIGEST: Final = "sha256:"
"""What the version of a plugin in a file begins with; no package's does."""


@dataclass(frozen=True)
class RunKeys:
    """Tells the runs of a method in one iteration apart, the stored ones and those to be done.

    A run has a number in the search that it belongs to. A search is known by what the user has
    fixed, and not by what it chooses, so that processes agree on a run before anybody has chosen
    its hyper-parameters. Of what is not searched only that counts which differs from the defaults,
    so that a hyper-parameter that the method gains leaves its finished runs what they are. A stored
    run is judged by its recorded values beside the present defaults: where a default has changed,
    it has done other work.

    Earlier versions gave runs no numbers; `adopting` gives theirs to the runs that a search could
    have made.
    """

    method: str
    """The method's display name."""
    code: str | None
    """The digest of a method in a file; None for one of a package."""
    defaults: Mapping[str, Any]
    """Those of its hyper-parameters, as JSON values."""
    marked: frozenset[str] = frozenset()
    """The hyper-parameters that are searched where nobody fixes them."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """What the user has fixed, as JSON values."""
    adopted: Mapping[str, int] = field(default_factory=dict, repr=False)
    """The numbers of runs that have none of their own, by their ids."""

    @classmethod
    def of_host(cls, host: Host, fixed: Mapping[str, Any]) -> "RunKeys":
        """Return what tells the runs of a host's method apart.

        Args:
            host: The iteration's plugins.
            fixed: What the user has fixed, as `parse_params` returns it.

        Raises:
            PluginError: The method's hyper-parameters cannot be used.
        """
        space = host.hyper_parameters()
        code = host.method.version if host.method.from_file else None
        if space is None:
            return cls(host.method.name, code, {})
        marked = (name for name, info in space.model_fields.items() if search_mark(info))
        values = json_values(space(**fixed))
        given = {name: values[name] for name in fixed}
        return cls(host.method.name, code, json_values(space()), frozenset(marked), given)

    def adopting(self, runs: Iterable[RunRecord]) -> "RunKeys":
        """Return keys by which runs of earlier versions count as the first ones of this search."""
        numbers: dict[str, int] = {}
        for run in sorted(runs, key=lambda run: (run.started_at, run.run_id)):
            is_sound = run.status in ("FINISHED", "RUNNING") and AVERAGE_TAG not in run.tags
            if run_number(run.tags) is None and is_sound and self._could_make(run):
                numbers[run.run_id] = len(numbers)
        return replace(self, adopted=numbers)

    def of_number(self, number: int, starting_run: str) -> str:
        """Return the key of a run that is to be done.

        Args:
            number: Its number in the search, from 0.
            starting_run: The run whose model is tuned.
        """
        return _key(number, self._telling(self.fixed), self.code, starting_run)

    def of_run(self, run: RunRecord, starting_run: str) -> str:
        """Return the key of a stored run, whichever version of the method has done it."""
        if run.average_of:
            return run.run_key
        if run.run_id in self.adopted:
            return self.of_number(self.adopted[run.run_id], starting_run)
        searched = searched_names(run.tags)
        given = {name: value for name, value in run.params.items() if name not in searched}
        return _key(run_number(run.tags), self._telling(given), self._code_of(run), starting_run)

    def number_of(self, run: RunRecord) -> int | None:
        """Return the number that a stored run has in this search; None where it is of another."""
        number = self.adopted.get(run.run_id, run_number(run.tags))
        is_own = number is not None and self.of_run(run, "") == self.of_number(number, "")
        return number if is_own else None

    def _telling(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the values that a search did not choose which tell it from others."""
        return {
            name: value
            for name, value in given.items()
            if name in self.marked or name not in self.defaults or value != self.defaults[name]
        }

    def _could_make(self, run: RunRecord) -> bool:
        base = {**self.defaults, **self.fixed}
        unsearched = base.keys() - (self.marked - self.fixed.keys())
        recorded = {**self.defaults, **run.params}
        return (
            self._code_of(run) == self.code
            and recorded.keys() == self.defaults.keys()
            and all(recorded[name] == base[name] for name in unsearched)
        )

    def _code_of(self, run: RunRecord) -> str | None:
        origin = run.tags.get(named_tag(PLUGIN_TAG, self.method), "")
        version = origin.rpartition(" ")[2]
        return version if version.startswith(_DIGEST) else None


def _key(number: int | None, given: Mapping[str, Any], code: str | None, starting_run: str) -> str:
    # Who writes a method in a file edits and runs it in turns.
    method = {} if code is None else {"hooktune.method": code}
    text = to_json({"params": {**given, **method}, "starting_run": starting_run, "run": number})
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def json_values(params: "BaseModel | None") -> dict[str, Any]:
    """Return hyper-parameters as JSON values, none for a method that has no hyper-parameters."""
    return {} if params is None else params.model_dump(mode="json")
