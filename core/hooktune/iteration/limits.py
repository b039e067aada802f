"""When a search, or a run of it, ends early: time is up, nothing gets better, it falls behind."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from hooktune.errors import RequestError

if TYPE_CHECKING:
    from hooktune.iteration.run_keys import RunKeys
    from hooktune.tracking import Iteration, RunRecord

PruneKind = Literal["none", "queries", "median"]
"""By what it is told whether a run falls behind and is to be stopped."""
NO_PRUNING: Final[PruneKind] = "none"

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Limits:
    """What ends a search beside its number of runs."""

    budget: float | None = None
    """Seconds after which no new run begins."""
    patience: int | None = None
    """After how many runs in a row, none of which is the best so far, no new one begins."""
    began: float = field(default_factory=time.monotonic)

    def reached(self, iteration: "Iteration", runs: "Iterable[RunRecord]", keys: "RunKeys") -> str:
        """Return why no further run is to begin; empty where one may.

        Args:
            iteration: The iteration.
            runs: Its runs.
            keys: Tell which of them are of this search.
        """
        if self.budget is not None and time.monotonic() - self.began >= self.budget:
            return f"the budget of {self.budget:.0f} seconds is used up"
        if self.patience is not None:
            without = _runs_without_a_better_one(iteration, runs, keys)
            if without >= self.patience:
                return f"{without} runs in a row were not better than the best before"
        return ""


def seconds_of(budget: str | float) -> float:
    """Return a time in seconds.

    Args:
        budget: Seconds, or a text such as `90s`, `30m`, `2h` or `1.5d`.

    Raises:
        RequestError: It is no such time.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([smhd]?)\s*", str(budget))
    if found is None or isinstance(budget, bool):
        raise RequestError(f"{budget!r} is no time. Write seconds, or such as 90s, 30m, 2h or 1d.")
    return float(found[1]) * _UNITS[found[2]]


def _runs_without_a_better_one(
    iteration: "Iteration", runs: "Iterable[RunRecord]", keys: "RunKeys"
) -> int:
    """Count the runs of a search that have ended since its best one, in their order."""
    main, best, count = iteration.settings.main_metric, None, 0
    ended = {
        number: run
        for run in runs
        if run.status == "FINISHED" and (number := keys.number_of(run)) is not None
    }
    for number in sorted(ended):
        run = ended[number]
        value = None if run.held_back else run.metrics.get(main.name)
        if main.beats(value, best):
            best, count = value, 0
        else:
            count += 1
    return count
