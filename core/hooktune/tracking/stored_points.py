"""The metric points that a run has already, so that none is stored twice."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from hooktune.tracking.records import RunRecord


class StoredPoints:
    """The points that are in the store and come again, since their steps are done once more.

    A metric may have several points at one step. Of those that come again, as many are passed over
    as there are.
    """

    def __init__(self, client: "MlflowClient", run: "RunRecord") -> None:
        self._points = [
            (name, point.step, point.timestamp)
            for name in run.metrics
            for point in client.get_metric_history(run.run_id, name)
        ]
        self.last_time = max((time for *_, time in self._points), default=0)
        """When the last one was logged, in milliseconds since 1970."""
        self._to_come: dict[tuple[str, int], list[int]] = {}
        self.expect_after(0)

    def expect_after(self, time: int) -> None:
        """Tell that the points come again that were logged after a time, and not those before."""
        self._to_come = {}
        for name, step, at in sorted(self._points, key=lambda point: -point[2]):
            if at > time:
                self._to_come.setdefault((name, step), []).append(at)

    @property
    def passed_until(self) -> int | None:
        """The time before which all points have come again; None where none is to come."""
        left = [times[-1] for times in self._to_come.values() if times]
        return min(left) - 1 if left else None

    def new_ones(self, metrics: Mapping[str, float], step: int) -> dict[str, float]:
        """Return those points of a step that are not in the store."""
        new = {}
        for name, value in metrics.items():
            if times := self._to_come.get((name, step)):
                times.pop()
            else:
                new[name] = value
        return new


def last_point(client: "MlflowClient", run_id: str, name: str) -> "Metric | None":
    """Return the point of a run's metric at its highest step, with its time; None without any."""
    points = client.get_metric_history(run_id, name)
    return max(points, key=lambda point: (point.step, point.timestamp), default=None)
