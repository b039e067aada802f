"""Runs, iterations and processes as a store would give them."""

import json
from dataclasses import replace

from hooktune.contract.settings import IterationSettings
from hooktune.naming import IterationName
from hooktune.processes import describe_process
from hooktune.tracking import Iteration, RunRecord

SHIFT = "test_not_irrelevant_dist_shift"


def a_run(run_id: str, value: float | None = None, **given) -> RunRecord:
    metrics = {} if value is None else {SHIFT: value}
    run = RunRecord(
        run_id, "defaults", "FINISHED", "M", "0" * 24, {}, metrics, 0, 2.0, None, None, None, "1",
        {},
    )  # fmt: skip
    return replace(run, **given)


def an_iteration(best_run: str | None = None, improved: bool | None = None) -> Iteration:
    name = IterationName("M", "0" * 24)
    starting = {SHIFT: 0.0, "test_mrr": 0.5}
    return Iteration(
        "1", name, IterationSettings(), "start", None, starting, best_run, None, improved, 0
    )


def dead_process() -> dict:
    """A process of this machine and boot that is gone: another one has its id now."""
    here = json.loads(describe_process())
    boot = here["began"].rpartition(" ")[0]
    return here | {"began": f"{boot} 1"}
