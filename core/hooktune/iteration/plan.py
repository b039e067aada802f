"""What an iteration is to do, settled before anything is done: making a plan only reads.

All that can be refused without a model is refused here.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from hooktune.contract.metric import JUDGED_METRIC, MainMetric, MetricDescription, parse_guards
from hooktune.contract.sessions import Batch
from hooktune.contract.settings import (
    HOLDOUT_RATIO,
    NO_JUDGEMENTS,
    QUERIES_FOR_HOLDOUT,
    IterationSettings,
    Split,
    check_settings,
    setting_in_words,
    setting_text,
)
from hooktune.contract.split_kind import SPLIT_OF_NEW
from hooktune.errors import RequestError
from hooktune.evaluation.collection import JudgedQueries
from hooktune.evaluation.judged import judged_queries
from hooktune.iteration.average import Average
from hooktune.iteration.request import Request
from hooktune.iteration.run_keys import RunKeys
from hooktune.iteration.run_search import Chosen, RunSearch
from hooktune.iteration.search import parse_params, run_name
from hooktune.iteration.starting_run import find_starting_run
from hooktune.iteration.takeover import KeyOf
from hooktune.iteration.trials import earlier_trials
from hooktune.naming import IterationName, iteration_name
from hooktune.plugin.host import Host
from hooktune.plugin.samplers import DEFAULT_SAMPLER
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.records import hyper_parameters_text

if TYPE_CHECKING:
    from pydantic import BaseModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedRun:
    """One run of an iteration that is to be done; what it tries is chosen when it begins."""

    number: int
    """Its number in its search, from 0."""
    key: str
    """Tells what it does: same key, same work."""
    title: str
    """What progress and messages call it."""
    key_of: KeyOf = field(repr=False)
    """Returns the key of a stored run."""
    is_one_of_several: bool = False
    """Whether what it trains is kept until it has been averaged with others."""
    average: Average | None = field(default=None, repr=False)
    """The model of an average of runs; None where one is to be trained."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What an iteration is going to do."""

    name: IterationName
    settings: IterationSettings
    existing: Iteration | None
    """The iteration as the store has it; None where it is to be created."""
    starting_run: RunRecord | None
    """The run whose model is tuned; None where the initial model is to be made first."""
    initial_model: str | None
    """The folder or hub name to make the initial model of; None leaves it to the method."""
    split: Split = field(repr=False)
    """Which sessions of the batch are trained on, and which are tested with."""
    search: RunSearch
    """Chooses what the runs try, and tells them apart."""
    todo: tuple[int, ...]
    """The numbers of the runs to do."""
    done: tuple[RunRecord, ...]
    """The finished runs among those that are asked for."""
    runs_before: tuple[RunRecord, ...] = field(default=(), repr=False)
    """All runs that the iteration has."""
    judged: JudgedQueries | None = field(default=None, repr=False)
    """What the judgements say of the batch's items, where there are any."""

    def runs(self, starting_run: str) -> list[PlannedRun]:
        """Return the runs to do, once it is known which run's model they start from."""
        keys, total = self.search.keys, len(self.search.numbers)
        return [
            PlannedRun(
                number,
                keys.of_number(number, starting_run),
                f"run {number + 1}/{total}",
                self.key_of(starting_run),
                is_one_of_several=len(self.todo) + len(self.done) > 1,
            )
            for number in self.todo
        ]

    def key_of(self, starting_run: str) -> KeyOf:
        """Return what gives the keys of stored runs, which started from this run's model."""
        return partial(self.search.keys.of_run, starting_run=starting_run)

    def possible_sets(self) -> "list[BaseModel | None]":
        """Return sets that hold each value that any run to do may have."""
        return self.search.possible_sets(self.runs_before)

    @property
    def first_set(self) -> "BaseModel | None":
        """The set of the first run to do, were no more known of any run than now."""
        return next((chosen.params for chosen in self.preview()), self.possible_sets()[0])

    def preview(self) -> list[Chosen]:
        """Return what would be run, were no more known of any run than now."""
        return [*self.search.preview(self.todo, self.runs_before, self.existing)]

    def __str__(self) -> str:
        if self.starting_run is not None:
            start = f"the model of run {self.starting_run.run_id}"
        else:
            start = f"an initial model, {self.initial_model or 'which the method chooses'}"
        lines = [
            f"{self.name} {'is continued' if self.existing else 'is begun'} from {start}.",
            f"{len(self.split.train)} sessions are trained on, {len(self.split.test)} tested with"
            + (f", {len(held)} measured once." if len(held := self.split.holdout) else "."),
            *self.settings.in_words(),
            *(
                f"to run: {run_name(chosen.params, self.search.keys.code)} ({chosen.origin})"
                for chosen in self.preview()
            ),
            *(f"run before: {run.name}" for run in self.done),
        ]
        return "\n".join(lines)


def make_plan(tracker: Tracker, host: Host, batch: Batch, request: Request) -> Plan:
    """Settle what an iteration is going to do; nothing is stored.

    Args:
        tracker: The tracking store.
        host: The iteration's plugins.
        batch: The released batch.
        request: What the user asks for.

    Raises:
        RequestError: It cannot be carried out as it was made.
    """
    name = iteration_name(host.method.name, batch.batch_id)
    existing = tracker.iteration(name)
    settings = settle_settings(request, host.main_metric(), existing, host.describe_metrics())
    if existing is None:
        settings = _of_new_iteration(settings, request, batch)
    split = settings.split(batch.sessions)
    _check_recorded_scores(batch, settings)
    judged = (
        None if request.judgements is None else judged_queries(request.judgements, batch, split)
    )
    starting_run = find_starting_run(
        tracker, name.method, existing, start=request.start, initial_model=request.initial_model
    )
    if existing is None:
        tracker.check_is_free(name)
    runs = tuple(tracker.runs(existing)) if existing else ()
    seed = _seed_of(settings.seed, batch.batch_id)
    search = _make_search(tracker, host, request, seed, existing, runs)
    finished = {search.keys.number_of(run): run for run in runs if run.status == "FINISHED"}
    todo = tuple(number for number in search.numbers if number not in finished)
    if todo:
        hyper_parameters_text(search.defaults)
        _check_judgements(name, settings, judged)
    if existing and todo and starting_run and not tracker.has_model(starting_run):
        raise RequestError(
            f"{name} started from the model of run {existing.starting_run}, which was "
            "deleted when a better one replaced it, so that no further runs can be compared with "
            "the finished ones. Release another batch to go on."
        )
    done = tuple(finished[number] for number in search.numbers if number in finished)
    return Plan(
        name, settings, existing, starting_run, request.initial_model, split, search, todo, done,
        runs, judged,
    )  # fmt: skip


def _make_search(
    tracker: Tracker,
    host: Host,
    request: Request,
    seed: int,
    existing: Iteration | None,
    runs: tuple[RunRecord, ...],
) -> RunSearch:
    """Settle which runs are asked for, and who chooses what they try.

    Raises:
        RequestError: A hyper-parameter that the user gave does not exist or has a wrong value, or
            there is no such sampler.
    """
    space = host.hyper_parameters()
    fixed = parse_params(space, request.params)
    sampler = request.search
    if sampler is not None:
        host.samplers.check(sampler)
    elif DEFAULT_SAMPLER in host.samplers.names():
        sampler = DEFAULT_SAMPLER
    elif space is not None:
        logger.warning("no plugin chooses hyper-parameters, so that only the defaults are run")
    keys = RunKeys.of_host(host, fixed).adopting(runs)
    earlier = earlier_trials(tracker, existing, host.method.name, space, fixed)
    return RunSearch(space, fixed, host.samplers, sampler, request.max_runs, seed, keys, earlier)


def _seed_of(seed: int, batch_id: str) -> int:
    """Return a search's seed: another one for each batch, as each would draw the same otherwise."""
    digest = hashlib.sha256(f"{seed} {batch_id}".encode()).digest()
    return int.from_bytes(digest[:4])


def settle_settings(
    request: Request,
    declared: MainMetric | None,
    existing: Iteration | None,
    described: Mapping[str, MetricDescription] = MappingProxyType({}),
) -> IterationSettings:
    """Return what the iteration is about: as recorded, else as asked for, else the default.

    Args:
        request: What the user asks for.
        declared: The main metric that the method declares, if it does.
        existing: The iteration, if it has been created already.
        described: What plugins tell of metrics; it gives the direction of a main metric that was
            asked for without one.

    Raises:
        RequestError: The iteration exists and is about something else.
    """
    asked = check_settings(request.settings)
    guards = request.settings.get("guard")
    if guards is not None:
        texts = guards.split(",") if isinstance(guards, str) else map(str, guards)
        asked["guard"] = parse_guards(texts, described)
    text = request.settings.get("main_metric")
    if isinstance(text, str) and ":" not in text:
        recorded_main = existing and existing.settings.main_metric
        left_open = recorded_main and recorded_main.name == text
        asked["main_metric"] = recorded_main if left_open else MainMetric.parse(text, described)
    if existing is None:
        if declared is not None:
            asked.setdefault("main_metric", declared)
        return IterationSettings(**asked)
    for name, value in asked.items():
        recorded = getattr(existing.settings, name)
        if value != recorded:
            same = "Give the same file" if name == "judgements" else "Leave it out"
            raise RequestError(
                f"{existing.name} was begun with {setting_in_words(name)} "
                f"{setting_text(recorded)}, and {setting_text(value)} is asked for now. {same} "
                "to continue the iteration, or release another batch."
            )
    return existing.settings


def _of_new_iteration(
    settings: IterationSettings, request: Request, batch: Batch
) -> IterationSettings:
    """Settle what a new iteration has otherwise than those that recorded nothing of it.

    Queries are kept from every choice where there are enough of them.
    """
    changes: dict[str, object] = {}
    if request.settings.get("split_by") is None:
        changes["split_by"] = SPLIT_OF_NEW
    queries = len(np.unique(batch.sessions.query_index))
    is_open = request.settings.get("holdout_ratio") is None
    if is_open and queries >= QUERIES_FOR_HOLDOUT and settings.test_ratio + HOLDOUT_RATIO < 1:
        changes["holdout_ratio"] = HOLDOUT_RATIO
    return settings.model_copy(update=changes)


def _check_judgements(
    name: IterationName, settings: IterationSettings, judged: JudgedQueries | None
) -> None:
    if judged is None and settings.judgements != NO_JUDGEMENTS:
        raise RequestError(
            f"{name} is measured by judgements ({settings.judgements}), which the store does not "
            "keep. Give the same file again: --judgements FILE."
        )
    if judged is None and settings.main_metric.name == JUDGED_METRIC:
        raise RequestError(f"{JUDGED_METRIC} needs judgements: --judgements FILE.")


def _check_recorded_scores(batch: Batch, settings: IterationSettings) -> None:
    missing = int(np.isnan(batch.sessions.rank).sum())
    if settings.baseline == "recorded" and missing:
        raise RequestError(
            f"{missing} of {batch.sessions.result_count} results of batch {batch.batch_id} have no "
            "recorded rank score. Measure from the starting model instead: --baseline starting."
        )
