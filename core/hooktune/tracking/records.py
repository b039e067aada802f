"""What the tracker knows of a run and of an iteration, and how MLflow's tags hold it."""

import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from hooktune.contract.interval import Interval, read_intervals
from hooktune.contract.listing import Record
from hooktune.contract.metric import RANKING_METRIC, holdout_name
from hooktune.contract.settings import IterationSettings, setting_text
from hooktune.errors import RequestError
from hooktune.naming import IterationName, parse_experiment_name
from hooktune.processes import describe_process
from hooktune.tracking.holdouts import HOLDOUT_TAG, Holdout
from hooktune.tracking.search_tags import AVERAGE_TAG, PROPOSED_BY_TAG
from hooktune.tracking.tag_values import json_object, metrics_in, whole_number

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run

EndStatus = Literal["FINISHED", "FAILED", "KILLED"]

# Tags of a run.
METHOD_TAG: Final = "hooktune.method"
BATCH_TAG: Final = "hooktune.batch_id"
RUN_KEY_TAG: Final = "hooktune.run_key"
HYPER_PARAMETERS_TAG: Final = "hooktune.hyper_parameters"
INITIAL_MODEL_TAG: Final = "hooktune.initial_model"
MODEL_TAG: Final = "hooktune.model_id"
MODEL_BYTES_TAG: Final = "hooktune.model_bytes"
MODEL_DIGEST_TAG: Final = "hooktune.model_digest"
FAILURE_TAG: Final = "hooktune.failure"
HELD_BACK_TAG: Final = "hooktune.held_back"
INTERVALS_TAG: Final = "hooktune.intervals"
WARNING_TAG: Final = "hooktune.warning"
PROCESS_TAG: Final = "hooktune.process"
PLUGIN_TAG: Final = "hooktune.plugin"
PLUGIN_FAILURE_TAG: Final = "hooktune.plugin_failure"
CHECKPOINT_TAG: Final = "hooktune.checkpoint"

# A tag of both: on a run, what depends on its loss.
STARTING_METRICS_TAG: Final = "hooktune.starting_metrics"

# Tags of an iteration's experiment, beside those of its settings.
STARTING_RUN_TAG: Final = "hooktune.starting_run"
PREVIOUS_RUN_TAG: Final = "hooktune.previous_run"
BEST_RUN_TAG: Final = "hooktune.best_run"
FINISHED_TAG: Final = "hooktune.finished_at"
IMPROVED_TAG: Final = "hooktune.improved"

TOKEN_TAG: Final = "hooktune.token"
"""A random text by which a run is known whose creation was not heard of."""
NOTE_TAG: Final = "mlflow.note.content"

_TAG_KEY_LENGTH: Final = 200
_LABEL_DIGITS: Final = 8

TAG_LENGTH: Final = 5000
"""How many characters MLflow keeps of a tag, in all of its stores."""


@dataclass(frozen=True, repr=False)
class RunRecord(Record):
    """One run as the store has it."""

    run_id: str
    name: str
    status: str
    """`RUNNING`, `FINISHED`, `FAILED` or `KILLED`."""
    method: str
    batch_id: str | None
    """None for an initial model."""
    params: dict[str, Any]
    """The hyper-parameters, as JSON values."""
    metrics: dict[str, float]
    """Each metric's value at its highest step; one that was infinite is NaN."""
    started_at: int
    """Milliseconds since 1970."""
    seconds: float | None
    """From start to end; None while it is running."""
    warning: str | None
    failure: str | None
    model_id: str | None
    """The MLflow id of the model that was uploaded; it may have been deleted since."""
    experiment_id: str
    tags: dict[str, str] = field(repr=False)

    def as_row(self) -> dict[str, Any]:
        """Return what people look for first, then all hyper-parameters and metrics."""
        return {
            "run_id": self.run_id,
            "name": self.name,
            "status": self.status,
            "method": self.method,
            "batch_id": self.batch_id,
            "seconds": self.seconds,
            "warning": self.warning,
            "failure": self.failure,
            **{f"params.{name}": value for name, value in self.params.items()},
            **self.metrics,
        }

    @property
    def run_key(self) -> str:
        """What tells what the run does: same key, same work; empty for an initial model."""
        return self.tags.get(RUN_KEY_TAG, "")

    @property
    def average_of(self) -> tuple[str, ...]:
        """The ids of the runs whose weights it is the mean of; empty for one that was trained."""
        return tuple(self.tags.get(AVERAGE_TAG, "").split())

    @property
    def own_starting_metrics(self) -> dict[str, float]:
        """What the starting model has under the run's own loss; empty where it gave none."""
        return metrics_in(self.tags.get(STARTING_METRICS_TAG)) or {}

    @property
    def held_back(self) -> str | None:
        """Why a guard keeps the run from being the best; None where none does."""
        return self.tags.get(HELD_BACK_TAG)

    @property
    def proposed_by(self) -> str | None:
        """Where its hyper-parameters come from; None for runs of earlier versions."""
        return self.tags.get(PROPOSED_BY_TAG)

    @property
    def intervals(self) -> dict[str, Interval]:
        """How far metrics differ from the starting model's; empty for runs of earlier versions."""
        return read_intervals(self.tags.get(INTERVALS_TAG))

    @property
    def holdout(self) -> Holdout | None:
        """What its model came to on the holdout; None where that was not measured."""
        return Holdout.from_text(self.tags.get(HOLDOUT_TAG))

    @property
    def is_of_this_process(self) -> bool:
        """Whether this process has made it, or has taken it over."""
        return self.tags.get(PROCESS_TAG) == describe_process()

    @property
    def label(self) -> str:
        """What people may call it: the beginning of its id, which serves wherever one is asked."""
        return self.run_id[:_LABEL_DIGITS]

    @property
    def model_uri(self) -> str:
        """The address under which stock MLflow loads the run's model."""
        return f"runs:/{self.run_id}/model"

    @property
    def model_bytes(self) -> int | None:
        """How much the model's files took when they were uploaded; None for a run without any."""
        return whole_number(self.tags.get(MODEL_BYTES_TAG))


@dataclass(frozen=True, repr=False)
class Iteration(Record):
    """One method on one batch as the store has it."""

    experiment_id: str
    name: IterationName
    settings: IterationSettings
    starting_run: str
    """The run whose model the iteration tunes."""
    previous_run: str | None
    """What the method would have started from when the iteration was created."""
    starting_metrics: dict[str, float]
    """The starting model's metrics on the test sessions; empty before they were measured."""
    best_run: str | None
    finished_at: str | None
    """ISO 8601 in UTC, of the first time that it finished."""
    improved: bool | None
    """Whether a run beats the starting model; None before it has finished."""
    created_at: int
    """Milliseconds since 1970."""

    def as_row(self) -> dict[str, Any]:
        """Return what people look for first, then the settings."""
        return {
            "method": self.name.method,
            "batch_id": self.name.batch_id,
            "improved": self.improved,
            "best_run": self.best_run,
            "starting_run": self.starting_run,
            "finished_at": self.finished_at,
            **{
                name: value if isinstance(value, int | float) else setting_text(value)
                for name, value in self.settings
            },
        }

    def starting_metrics_of(self, run: RunRecord) -> dict[str, float]:
        """Return the starting model's metrics that a run is compared with, its loss among them."""
        return {**self.starting_metrics, **run.own_starting_metrics}

    def evidence_in_words(self, run: RunRecord) -> list[str]:
        """Say by main metric and ranking whether a run can be told from the starting model."""
        main = self.settings.main_metric
        metrics = {main.name: main.greater_is_better, RANKING_METRIC: True}
        of_holdout = {holdout_name(name): greater for name, greater in metrics.items()}
        known = {**run.intervals, **(run.holdout.intervals if run.holdout else {})}
        return [
            known[name].in_words(name, greater_is_better=greater_is_better)
            for name, greater_is_better in {**metrics, **of_holdout}.items()
            if name in known
        ]

    @property
    def next_start(self) -> str:
        """The run whose model an iteration starts from that follows this one."""
        return self.best_run if self.improved and self.best_run else self.starting_run


def run_from_mlflow(run: "Run") -> RunRecord:
    """Read what MLflow holds of a run."""
    tags = run.data.tags
    info = run.info
    return RunRecord(
        run_id=info.run_id,
        name=info.run_name or "",
        status=info.status,
        method=tags.get(METHOD_TAG, ""),
        batch_id=tags.get(BATCH_TAG),
        params=json_object(tags.get(HYPER_PARAMETERS_TAG)) or {},
        metrics={name: _finite(value) for name, value in run.data.metrics.items()},
        started_at=info.start_time,
        seconds=(info.end_time - info.start_time) / 1000 if info.end_time else None,
        warning=tags.get(WARNING_TAG),
        failure=tags.get(FAILURE_TAG),
        model_id=tags.get(MODEL_TAG),
        experiment_id=info.experiment_id,
        tags=dict(tags),
    )


def iteration_from_mlflow(experiment: "Experiment") -> Iteration | None:
    """Read an iteration's experiment; None for an experiment that is no iteration of hooktune's."""
    name = parse_experiment_name(experiment.name)
    if name is None:
        return None
    tags = experiment.tags
    starting_metrics = metrics_in(tags.get(STARTING_METRICS_TAG))
    settings = IterationSettings.from_tags(tags)
    if settings is None or starting_metrics is None or not tags.get(STARTING_RUN_TAG):
        return None
    return Iteration(
        experiment_id=experiment.experiment_id,
        name=name,
        settings=settings,
        starting_run=tags[STARTING_RUN_TAG],
        previous_run=tags.get(PREVIOUS_RUN_TAG) or None,
        starting_metrics=starting_metrics,
        best_run=tags.get(BEST_RUN_TAG) or None,
        finished_at=tags.get(FINISHED_TAG) or None,
        improved={"true": True, "false": False}.get(tags.get(IMPROVED_TAG, "")),
        created_at=experiment.creation_time or 0,
    )


def iteration_tags(
    settings: IterationSettings, starting_run: str, previous_run: str | None
) -> dict[str, str]:
    """Return the tags that fix what an iteration is about."""
    tags = {
        STARTING_RUN_TAG: starting_run,
        **{tag: str(value) for tag, value in settings.as_facts().items()},
    }
    return tags | ({PREVIOUS_RUN_TAG: previous_run} if previous_run else {})


def hyper_parameters_text(values: Mapping[str, Any]) -> str:
    """Return a run's hyper-parameters as the text of their tag.

    Raises:
        RequestError: They are longer than the store can keep.
    """
    text = to_json(values)
    if len(text) > TAG_LENGTH:
        raise RequestError(
            f"The hyper-parameters take {len(text)} characters as JSON, and MLflow keeps "
            f"{TAG_LENGTH} of them. Shorten their values."
        )
    return text


def starting_metrics_text(metrics: Mapping[str, float]) -> str:
    """Return a starting model's metrics as the text of their tag.

    Raises:
        RequestError: They are longer than the store can keep.
    """
    text = to_json(metrics)
    if len(text) > TAG_LENGTH:
        raise RequestError(
            f"The metrics take {len(text)} characters and MLflow keeps {TAG_LENGTH}. "
            "Block a plugin that computes many: --block NAME."
        )
    return text


def named_tag(prefix: str, name: str) -> str:
    """Return the tag of something that has a name, such as a plugin."""
    # A plugin's name may have characters that MLflow takes in no key.
    legal = re.sub(r"[^\w. -]", "_", name)
    return f"{prefix}.{legal}"[:_TAG_KEY_LENGTH]


def to_json(values: Mapping[str, Any]) -> str:
    """Write values so that equal ones give equal text."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _finite(value: float) -> float:
    """Return a metric's value, or NaN for the largest float, which MLflow writes for infinity."""
    return value if abs(value) < sys.float_info.max else math.nan
