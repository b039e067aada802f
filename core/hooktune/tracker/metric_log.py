"""Writes the metric points of a run in batches, from a thread of its own."""

import logging
import time
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from hooktune.errors import HooktuneError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

logger = logging.getLogger(__name__)

_POINTS_PER_CALL: Final = 1000  # MLflow's own limit
_WAIT_FOR_MORE: Final = 1.0  # seconds: what a reader of the charts hardly notices


class MetricLog:
    """Takes metric points without waiting for the store.

    A call to the store costs about the same for one point as for hundreds, so points are collected
    for a second and written together.
    """

    def __init__(self, client: "MlflowClient", run_id: str, last_time: int = 0) -> None:
        self._client = client
        self._run_id = run_id
        self._queue: SimpleQueue[list[Metric] | Event | None] = SimpleQueue()
        self.error: Exception | None = None
        """What the store answered when points could not be written for the first time."""
        self.last_time = last_time
        """When the last point was added, in milliseconds since 1970; the next ones come later."""
        self._thread = Thread(target=self._write_all, name=f"metrics of {run_id}", daemon=True)
        self._thread.start()

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Take one point of each metric at a step; it carries the present time.

        No two calls carry the same time: of two points at one step MLflow takes the later one for
        the metric's value, and of two at one time the greater one.
        """
        from mlflow.entities import Metric

        now = self.last_time = max(time.time_ns() // 1_000_000, self.last_time + 1)
        self._queue.put([Metric(name, value, now, step) for name, value in metrics.items()])

    def flush(self) -> None:
        """Write all points so far.

        Raises:
            HooktuneError: Some could not be stored.
        """
        written = Event()
        self._queue.put(written)
        written.wait()
        if self.error:
            raise HooktuneError(f"metric points could not be stored: {self.error}")

    def close(self) -> None:
        """Write what is left and end the thread; `error` tells whether all was stored."""
        self._queue.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        end: bool | Event | None = False
        while end is not None:
            points, end = self._collect()
            for start in range(0, len(points), _POINTS_PER_CALL):
                self._write(points[start : start + _POINTS_PER_CALL])
            if isinstance(end, Event):
                end.set()

    def _collect(self) -> tuple[list["Metric"], bool | Event | None]:
        """Wait for a point, then for a moment longer, and return all that came and what ended it.

        That is the wish to have all written so far, or None where no more will come.
        """
        points: list[Metric] = []
        item = self._queue.get()
        deadline = time.monotonic() + _WAIT_FOR_MORE
        while isinstance(item, list):
            points += item
            try:
                item = self._queue.get(timeout=max(deadline - time.monotonic(), 0))
            except Empty:
                return points, False
        return points, item

    def _write(self, points: list["Metric"]) -> None:
        try:
            self._client.log_batch(self._run_id, metrics=points)
        except Exception as error:
            logger.warning(
                "%d metric points of run %s were not stored: %s", len(points), self._run_id, error
            )
            self.error = self.error or error
