"""What a run's model came to on the holdout, as MLflow holds it."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from pydantic_core import from_json

from hooktune.contract.interval import Interval, read_intervals

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOLDOUT_TAG: Final = "hooktune.holdout"


@dataclass(frozen=True)
class Holdout:
    """What is known of the holdout beside the run's own metrics of it, which begin `holdout_`."""

    starting: dict[str, float]
    """The starting model's metrics on the same sessions."""
    intervals: dict[str, Interval]
    """How far the run's are from them."""

    def as_text(self) -> str:
        """Return it as the text of a tag."""
        intervals = {name: found.as_json() for name, found in self.intervals.items()}
        return json.dumps({"starting": self.starting, "intervals": intervals}, sort_keys=True)

    @classmethod
    def from_text(cls, text: str | None) -> Self | None:
        """Read what `as_text` returned; None where there is none, or it was edited."""
        try:
            found = from_json(text or "")
            starting = {name: float(value) for name, value in found["starting"].items()}
            return cls(starting, read_intervals(json.dumps(found["intervals"])))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return None


def record_holdout(
    client: "MlflowClient", run_id: str, metrics: Mapping[str, float], holdout: Holdout
) -> None:
    """Record at once what a run's model came to on the holdout."""
    from mlflow.entities import Metric, RunTag

    now = time.time_ns() // 1_000_000
    points = [Metric(name, value, now, 0) for name, value in sorted(metrics.items())]
    client.log_batch(run_id, metrics=points, tags=[RunTag(HOLDOUT_TAG, holdout.as_text())])
