"""What tells the runs of one iteration apart: same key, same work."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hooktune.plugin.host import Host
from hooktune.tracking import RunRecord
from hooktune.tracking.records import PLUGIN_TAG, named_tag, to_json

if TYPE_CHECKING:
    from pydantic import BaseModel

_DIGEST: Final = "sha256:"
"""What the version of a plugin in a file begins with; no package's does."""


@dataclass(frozen=True)
class RunKeys:
    """Tells the runs of a method in one iteration apart, the stored ones and those to be done.

    A key follows from the hyper-parameters that differ from the defaults, so that one that the
    method gains leaves its finished runs what they are. A stored run is judged by its recorded
    values beside the present defaults: where a default has changed, it has done other work.
    """

    method: str
    """The method's display name."""
    code: str | None
    """The digest of a method in a file; None for one of a package."""
    defaults: Mapping[str, Any]
    """Those of its hyper-parameters, as JSON values."""

    @classmethod
    def of_host(cls, host: Host) -> "RunKeys":
        """Return what tells the runs of a host's method apart.

        Raises:
            PluginError: The method's hyper-parameters cannot be used.
        """
        space = host.hyper_parameters()
        code = host.method.version if host.method.from_file else None
        return cls(host.method.name, code, json_values(None if space is None else space()))

    def of_params(self, params: "BaseModel | None", starting_run: str) -> str:
        """Return the key of a run that is to be done.

        Args:
            params: Its hyper-parameters; None for a method without any.
            starting_run: The run whose model is tuned.
        """
        return self._key(json_values(params), self.code, starting_run)

    def of_run(self, run: RunRecord, starting_run: str) -> str:
        """Return the key of a stored run, whichever version of the method has done it."""
        origin = run.tags.get(named_tag(PLUGIN_TAG, self.method), "")
        version = origin.rpartition(" ")[2]
        code = version if version.startswith(_DIGEST) else None
        return self._key(run.params, code, starting_run)

    def _key(self, values: Mapping[str, Any], code: str | None, starting_run: str) -> str:
        changed = {
            name: value
            for name, value in values.items()
            if name not in self.defaults or value != self.defaults[name]
        }
        # Who writes a method in a file edits and runs it in turns.
        changed |= {} if code is None else {"hooktune.method": code}
        text = to_json({"params": changed, "starting_run": starting_run})
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def json_values(params: "BaseModel | None") -> dict[str, Any]:
    """Return hyper-parameters as JSON values, none for a method that has no hyper-parameters."""
    return {} if params is None else params.model_dump(mode="json")
