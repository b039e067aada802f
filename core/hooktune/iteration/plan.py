"""What an iteration is to do: its settings, its starting model and its sets of hyper-parameters."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hooktune.contract.metric import MainMetric
from hooktune.contract.settings import (
    AskedSettings,
    IterationSettings,
    check_settings,
    setting_in_words,
)
from hooktune.errors import RequestError
from hooktune.iteration.search import first_params, parse_params
from hooktune.naming import iteration_name
from hooktune.plugin.host import Host
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.records import INITIAL_MODEL_TAG, to_json

if TYPE_CHECKING:
    from pydantic import BaseModel

logger = logging.getLogger(__name__)

DEFAULT_MAX_RUNS: Final = 4
DEFAULT_CHECKPOINT_EVERY: Final = 300.0  # seconds: what may have to be done again


@dataclass(frozen=True)
class Request:
    """What the user asks of an iteration; None leaves a choice to the record or the default."""

    max_runs: int = DEFAULT_MAX_RUNS
    params: Mapping[str, Any] = field(default_factory=dict)
    start: str | None = None
    """`initial`, `last` or the id of a run."""
    settings: AskedSettings = field(default_factory=AskedSettings)
    initial_model: str | None = None
    device: str | None = None
    checkpoint_every: float = DEFAULT_CHECKPOINT_EVERY
    """Seconds; tells nothing about what a run does."""

    def __post_init__(self) -> None:
        if not self.checkpoint_every >= 0:
            raise RequestError(
                "A checkpoint is kept every so many seconds, or with 0 after each step, and not "
                f"every {self.checkpoint_every}."
            )
        if self.max_runs < 1:
            raise RequestError(f"At least one run is needed, and {self.max_runs} were asked for.")
        check_settings(self.settings)


def settle_settings(
    request: Request, declared: MainMetric | None, existing: Iteration | None
) -> IterationSettings:
    """Return what the iteration is about: as recorded, else as asked for, else the default.

    Args:
        request: What the user asks for.
        declared: The main metric that the method declares, if it does.
        existing: The iteration, if it has been created already.

    Raises:
        RequestError: The iteration exists and is about something else.
    """
    asked = check_settings(request.settings)
    if existing is None:
        if declared is not None:
            asked.setdefault("main_metric", declared)
        return IterationSettings(**asked)
    for name, value in asked.items():
        recorded = getattr(existing.settings, name)
        if value != recorded:
            raise RequestError(
                f"{existing.name} was begun with {setting_in_words(name)} {recorded}, and "
                f"{value} is asked for now. Leave it out to continue the iteration, or release "
                "another batch."
            )
    return existing.settings


def find_starting_run(
    tracker: Tracker, method: str, request: Request, existing: Iteration | None
) -> RunRecord | None:
    """Return the run whose model the iteration tunes; None where no initial model is stored yet.

    Raises:
        RequestError: There is no such run, its model is gone, or it is not the recorded one.
    """
    initial = tracker.initial_run(method)
    _check_initial_model(initial, request)
    if request.start == "initial":
        wanted = initial
    elif request.start in (None, "last"):
        wanted = tracker.run(existing.starting_run) if existing else tracker.starting_model(method)
    else:
        wanted = tracker.run(request.start)
    if existing is not None and (wanted is None or wanted.run_id != existing.starting_run):
        raise RequestError(
            f"{existing.name} was begun from the model of run {existing.starting_run}. Leave out "
            "--from to continue it, or release another batch to start from another model."
        )
    if existing is None and wanted is not None and not tracker.has_model(wanted):
        raise RequestError(
            f"Run {wanted.run_id} ({wanted.name}) has no model to start from: only the best run of "
            "an iteration keeps one. `hooktune best` names it."
        )
    return wanted


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
            proven = _still_valid(space, tracker.top_params(previous, request.max_runs), fixed)
    return [*(proven or first_params(space, request.max_runs, seed, fixed))]


def run_key(params: Mapping[str, Any], starting_run: str) -> str:
    """Return what tells two runs of one iteration apart: same key, same work."""
    text = to_json({"params": params, "starting_run": starting_run})
    return hashlib.sha256(text.encode()).hexdigest()[:32]


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


def _check_initial_model(initial: RunRecord | None, request: Request) -> None:
    if initial is None or request.initial_model is None:
        return
    stored = initial.tags.get(INITIAL_MODEL_TAG, "")
    if stored != request.initial_model:
        raise RequestError(
            f"{initial.method} has an initial model already, "
            f"{stored or 'the one that the method chose itself'}, and {request.initial_model} is "
            "asked for now. Leave it out, or use another tracking store."
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
