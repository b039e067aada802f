"""What an iteration is to do, settled before anything is done: making a plan only reads.

All that can be refused without a model is refused here.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

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
from hooktune.errors import RequestError
from hooktune.evaluation.collection import JudgedQueries
from hooktune.evaluation.judged import judged_queries
from hooktune.iteration.request import Request
from hooktune.iteration.run_keys import RunKeys, json_values
from hooktune.iteration.search import first_params, parse_params
from hooktune.iteration.starting_run import find_starting_run
from hooktune.iteration.takeover import KeyOf
from hooktune.naming import IterationName, iteration_name
from hooktune.plugin.host import Host
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.models.best import top_params
from hooktune.tracking.records import hyper_parameters_text

if TYPE_CHECKING:
    from pydantic import BaseModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedRun:
    """One run of an iteration that is to be done."""

    key: str
    """Tells what it does: same key, same work."""
    title: str
    """What progress and messages call it."""
    name: str
    """What the store calls it: the hyper-parameters that differ, and a method file's digest."""
    params: "BaseModel | None"
    """Its hyper-parameters; None for a method without any."""
    key_of: KeyOf = field(repr=False)
    """Returns the key of a stored run."""


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
    todo: tuple["BaseModel | None", ...]
    """The sets of hyper-parameters to run; one that is None for a method without any."""
    keys: RunKeys
    """Tells the runs apart."""
    done: tuple[RunRecord, ...]
    """The finished runs of the other sets that are asked for."""
    judged: JudgedQueries | None = field(default=None, repr=False)
    """What the judgements say of the batch's items, where there are any."""

    def runs(self, starting_run: str) -> list[PlannedRun]:
        """Return the runs to do, once it is known which run's model they start from."""
        return [
            PlannedRun(
                self.keys.of_params(params, starting_run),
                f"run {number}/{len(self.todo)}",
                run_name(params, self.keys.code),
                params,
                self.key_of(starting_run),
            )
            for number, params in enumerate(self.todo, start=1)
        ]

    def key_of(self, starting_run: str) -> KeyOf:
        """Return what gives the keys of stored runs, which started from this run's model."""
        return partial(self.keys.of_run, starting_run=starting_run)

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
            *(f"to run: {run_name(params, self.keys.code)}" for params in self.todo),
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
    if existing is None and request.settings.get("holdout_ratio") is None:
        settings = _with_holdout(settings, batch)
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
        previous = tracker.starting_model(name.method)
    else:
        previous = tracker.run(existing.previous_run) if existing.previous_run else None
    candidates = choose_params(tracker, host, request, settings.seed, previous)
    keys = RunKeys.of_host(host)
    finished = {
        keys.of_run(run, existing.starting_run): run
        for run in (tracker.runs(existing) if existing else ())
        if existing and run.status == "FINISHED"
    }
    todo: list[BaseModel | None] = []
    done: list[RunRecord] = []
    for params in candidates:
        key = keys.of_params(params, existing.starting_run) if existing else ""
        if (run := finished.get(key)) is None:
            hyper_parameters_text(json_values(params))
            todo.append(params)
        else:
            done.append(run)
    if todo:
        _check_judgements(name, settings, judged)
    if existing and todo and starting_run and not tracker.has_model(starting_run):
        raise RequestError(
            f"{name} started from the model of run {existing.starting_run}, which was "
            "deleted when a better one replaced it, so that no further runs can be compared with "
            "the finished ones. Release another batch to go on."
        )
    return Plan(
        name, settings, existing, starting_run, request.initial_model, split, tuple(todo), keys,
        tuple(done), judged,
    )  # fmt: skip


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


def _with_holdout(settings: IterationSettings, batch: Batch) -> IterationSettings:
    """Keep queries from every choice where there are enough of them and nobody has said."""
    queries = len(np.unique(batch.sessions.query_index))
    if queries < QUERIES_FOR_HOLDOUT or settings.test_ratio + HOLDOUT_RATIO >= 1:
        return settings
    return settings.model_copy(update={"holdout_ratio": HOLDOUT_RATIO})


def choose_params(
    tracker: Tracker, host: Host, request: Request, seed: int, previous_run: RunRecord | None
) -> list["BaseModel | None"]:
    """Return the sets of hyper-parameters to run, the first one first.

    They are drawn from the method's search space where there was no iteration before, and are
    those of its best runs where there was one; what the user fixed holds in every case.

    Raises:
        RequestError: A hyper-parameter that the user gave does not exist or has a wrong value.
    """
    space = host.hyper_parameters()
    fixed = parse_params(space, request.params)
    if space is None:
        return [None]
    proven = []
    if previous_run is not None and previous_run.batch_id is not None:
        previous = tracker.iteration(iteration_name(previous_run.method, previous_run.batch_id))
        if previous is not None and previous.name.method == host.method.name:
            proven = _still_valid(
                space, top_params(previous, tracker.runs(previous), request.max_runs), fixed
            )
    return [*(proven or first_params(space, request.max_runs, seed, fixed))]


def run_name(params: "BaseModel | None", code: str | None) -> str:
    """Name a run by what tells it apart from the others of its iteration.

    Args:
        params: Its hyper-parameters.
        code: The digest of a method in a file, which changes with every edit; None for others.
    """
    return describe_params(params) + ("" if code is None else f" ({code})")


def describe_params(params: "BaseModel | None") -> str:
    """Name a set of hyper-parameters by what differs from the defaults."""
    if params is None:
        return "defaults"
    fields = type(params).model_fields
    changed = [
        f"{name}={getattr(params, name)}"
        for name, info in fields.items()
        if getattr(params, name) != info.get_default(call_default_factory=True, validated_data={})
    ]
    return ", ".join(changed) or "defaults"


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


def _still_valid(
    space: "type[BaseModel]", recorded: list[dict[str, Any]], fixed: Mapping[str, Any]
) -> "list[BaseModel]":
    """Return recorded sets that today's version of the method still takes, without repetitions."""
    from pydantic import ValidationError

    valid: list[BaseModel] = []
    for values in recorded:
        try:
            params = space.model_validate({**values, **fixed})
        except ValidationError as error:
            logger.warning("hyper-parameters of the last iteration do not fit any more: %s", error)
            continue
        if params not in valid:
            valid.append(params)
    return valid
