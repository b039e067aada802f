"""What a request would do and take, told before anything is done; nothing is stored."""

import math
import resource
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hooktune.contract.params import TrainingParams
from hooktune.contract.sessions import Batch, Sessions, TrainingBatch
from hooktune.errors import RequestError
from hooktune.iteration.plan import Plan, make_plan
from hooktune.iteration.probe import Probe, Rate, probe
from hooktune.iteration.request import Request
from hooktune.iteration.search import run_name
from hooktune.plugin.host import Host
from hooktune.tracking import Tracker
from hooktune.tracking.connection import database_file
from hooktune.training.layer_states import memory_budget
from hooktune.training.mini_batches import MiniBatchLoader

_CHECKPOINT: Final = 4
"""How many times the trained weights a checkpoint takes."""
_NUMBER: Final = 4  # bytes of a float32, or of a token


@dataclass(frozen=True)
class Space:
    """Disk space that is needed somewhere."""

    folder: Path | None
    """None where it is a server's, whose free space is not known here."""
    needed: int
    """Bytes, at most at one time."""
    free: int | None

    @property
    def is_enough(self) -> bool:
        """Whether it can be held, as far as that is known."""
        return self.free is None or self.needed <= self.free


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a request would do and take."""

    plan: Plan
    before: Rate | None
    """Seconds before the first run; None where there is nothing left to run."""
    each_run: Rate | None
    """Seconds of a run."""
    total: Rate | None
    """Seconds of all, by as many workers as are asked for."""
    memory: int | None
    """Bytes of each process at most."""
    store: Space
    scratch: Space

    def check(self) -> None:
        """Refuse what a disk cannot hold.

        Raises:
            RequestError: The store's disk or that of temporary files is too full.
        """
        for space, what in ((self.store, "the store"), (self.scratch, "temporary files")):
            if not space.is_enough:
                raise RequestError(
                    f"The disk of {what} cannot hold this: {megabytes(space.needed)} are needed in "
                    f"{space.folder}, where {megabytes(space.free or 0)} are free. Free some, or "
                    + ("use another store." if space is self.store else "set TMPDIR elsewhere.")
                )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        plan = self.plan
        start = plan.starting_run
        return {
            "name": str(plan.name),
            "exists": plan.existing is not None,
            "starting_run": start and start.run_id,
            "initial_model": plan.initial_model,
            "settings": plan.settings.model_dump(mode="json"),
            "sessions": {name: len(part) for name, part in plan.split._asdict().items()},
            "to_run": [
                run_name(chosen.params, plan.search.keys.code) for chosen in plan.preview()
            ],
            "done": [run.run_id for run in plan.done],
            "seconds": {
                name: rate and {"mean": rate.mean, "low": rate.low, "high": rate.high}
                for name, rate in (
                    ("before", self.before), ("each_run", self.each_run), ("total", self.total),
                )
            },
            "memory": self.memory,
            "disk": {
                name: {"needed": space.needed, "free": space.free}
                for name, space in (("store", self.store), ("temporary", self.scratch))
            },
        }  # fmt: skip


def forecast(
    tracker: Tracker, host: Host, batch: Batch, request: Request, device: str, workers: int = 1
) -> Forecast:
    """Tell what a request would do, and by a short try what it would take.

    Args:
        tracker: The tracking store; one that does not exist yet is not made.
        host: The iteration's plugins.
        batch: The released batch.
        request: What the user asks for.
        device: The torch device.
        workers: How many processes share the runs.

    Raises:
        RequestError: The request cannot be carried out as it was made.
        PluginError: The method failed.
    """
    plan = make_plan(tracker, host, batch, request)
    root = database_file(tracker.address.used)
    store, scratch = root and root.absolute().parent, Path(tempfile.gettempdir())
    if not plan.todo:
        return Forecast(
            plan, None, None, None, None, _space(store, 0), _space(scratch, 0)
        )  # fmt: skip
    sessions = batch.sessions
    tried = probe(tracker, host, sessions, plan, device)
    before = _before(tried, sessions)
    each_run = _each_run(tried, sessions, plan)
    rounds = math.ceil(len(plan.todo) / workers)
    kept = _NUMBER * tried.width * _token_count(tried, sessions)
    in_memory = kept if kept <= memory_budget(device) else 0
    is_initial = plan.starting_run is None
    lasts = each_run.high > request.checkpoint_every
    checkpoints = _CHECKPOINT * tried.trained_bytes * min(workers, len(plan.todo)) if lasts else 0
    return Forecast(
        plan,
        before,
        each_run,
        before.plus(each_run.times(rounds)),
        _memory(tried, sessions, in_memory),
        # A better model is stored before the one that it replaces is deleted.
        _space(store, (2 + is_initial) * tried.model_bytes + checkpoints),
        _space(scratch, 2 * tried.model_bytes + kept - in_memory),
    )


def _before(tried: Probe, sessions: Sessions) -> Rate:
    loading = Rate(tried.loading, tried.loading, tried.loading)
    queries = tried.first["query"].times(len(np.unique(sessions.query_index)))
    return loading.plus(queries).plus(tried.first["document"].times(len(sessions.items)))


def _each_run(tried: Probe, sessions: Sessions, plan: Plan) -> Rate:
    """Return what training, its evaluations and the last one over the collection take."""
    test = sessions.take(plan.split.test)
    queries = tried.again["query"].times(len(np.unique(test.query_index)))
    shown = tried.again["document"].times(len(np.unique(test.item_index)))
    last = queries.plus(tried.again["document"].times(len(sessions.items)))
    share = len(plan.split.train) / tried.sessions
    if tried.step is None:
        return Rate.of([tried.fit]).times(share).plus(last)
    steps, evaluations = math.ceil(tried.steps * share), 0
    params = plan.first_set
    if isinstance(params, TrainingParams):
        train = sessions.take(plan.split.train)
        nothing = np.zeros(train.result_count, np.float32)
        loader = MiniBatchLoader(
            TrainingBatch(plan.name.batch_id, train, nothing), params, plan.settings.seed
        )
        steps = len(loader)
        evaluations = sum(map(loader.is_evaluated, range(1, steps + 1)))
    return tried.step.times(steps).plus(queries.plus(shown).times(evaluations)).plus(last)


def _token_count(tried: Probe, sessions: Sessions) -> int:
    queries = len(np.unique(sessions.query_index))
    return int(tried.tokens["query"] * queries + tried.tokens["document"] * len(sessions.items))


def _memory(tried: Probe, sessions: Sessions, kept: int) -> int:
    """Return what this process has taken so far, and what the texts that were left out add."""
    so_far = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    so_far *= 1 if sys.platform == "darwin" else 1024
    tokens = 2 * _NUMBER * _token_count(tried, sessions)
    embeddings = 2 * _NUMBER * tried.dimension * (len(sessions.items) + len(sessions.queries))
    return so_far + tokens + embeddings + kept


def _space(folder: Path | None, needed: int) -> Space:
    known = folder if folder is not None and folder.is_dir() else None
    return Space(folder, needed, None if known is None else shutil.disk_usage(known).free)


def megabytes(count: int) -> str:
    """Write a number of bytes as people do."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
