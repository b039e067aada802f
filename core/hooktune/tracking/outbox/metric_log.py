"""Writes the metric points of a run in batches, from a thread of its own."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final

from hooktune.errors import HooktuneError
from hooktune.tracking import outage
from hooktune.tracking.failures import is_away
from hooktune.tracking.outbox.spool import POINTS_PER_CALL, RunSpool

if TYPE_CHECKING:
    from mlflow.entities import Metric

logger = logging.getLogger(__name__)

_WAIT_FOR_MORE: Final = 1.0  # seconds: what a reader of the charts hardly notices
MOST_IN_MEMORY: Final = 50_000
"""So many points take about 15 MB; what comes on top goes to disk."""


class MetricLog:
    """Takes metric points without waiting for the store.

    A call to the store costs about the same for one point as for hundreds, so points are collected
    for a second and written together. While the store is away they stay, first in memory and then
    in the spool, and are written in their order when it is back. A point keeps its time, and MLflow
    stores one that it gets twice only once.

    Args:
        write: Writes a thousand points at most to the store.
        spool: Takes what the store cannot; what it holds of an earlier process is written first.
        last_time: Milliseconds since 1970; all points come later.
    """

    def __init__(
        self, write: "Callable[[list[Metric]], None]", spool: RunSpool, last_time: int = 0
    ) -> None:
        self._store = write
        self._spool = spool
        self.error: Exception | None = None
        """What the store answered when it refused points for the first time."""
        self.last_time = last_time
        """When the last point was added, in milliseconds since 1970; the next ones come later."""
        self._points: deque[Metric] = deque()
        self._changed = Condition()  # guards all that follows
        self._added = 0
        self._safe = 0  # how many of those added are stored, refused or on disk
        self._asked = 0  # how many somebody waits for to be safe
        self._give_up_at: float | None = None
        self._is_waited_for = False
        self._thread = Thread(target=self._work, name=f"metrics of {spool.run_id}", daemon=True)
        self._thread.start()

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Take one point of each metric at a step; it carries the present time.

        No two calls carry the same time: of two points at one step MLflow takes the later one for
        the metric's value, and of two at one time the greater one.
        """
        from mlflow.entities import Metric

        with self._changed:
            now = self.last_time = max(time.time_ns() // 1_000_000, self.last_time + 1)
            if not self._points:  # else the thread knows that there is something to do
                self._changed.notify_all()
            self._points += [Metric(name, value, now, step) for name, value in metrics.items()]
            self._added += len(metrics)

    def flush(self) -> None:
        """Wait until all points so far are in the store or, while that is away, on disk.

        Raises:
            HooktuneError: The disk would not take them.
        """
        with self._changed:
            goal = self._asked = self._added
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._safe >= goal or self._asked < goal)
            if self._safe < goal:
                raise HooktuneError(f"metric points could not be put on disk: {self.error}")

    def close(self, patience: float | None = None) -> None:
        """Write what is left and end the thread; `error` tells whether the store took all.

        Args:
            patience: For how many seconds to wait for a store that is away, before what is left
                stays in the spool; `outage.PATIENCE` by default.
        """
        patience = outage.PATIENCE if patience is None else patience
        with self._changed:
            give_up_at = time.monotonic() + patience
            self._give_up_at = min(self._give_up_at or give_up_at, give_up_at)
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        pauses = None
        while True:
            if pauses is None:
                self._wait_for_points()
            try:
                self._deliver()
            except Exception as error:
                if pauses is None:
                    pauses = outage.pauses()
                    logger.warning("the tracking store is away; metrics are kept until it is back")
                    logger.debug("the tracking store is away: %s", error)
                if self._give_up_after(next(pauses)):
                    return
            else:
                if pauses is not None:
                    logger.warning("the tracking store is back, and has all metrics until now")
                pauses = None
                if self._give_up_at is not None and not self._points:
                    return

    def _wait_for_points(self) -> None:
        """Wait for a point, then for a moment longer, or until somebody asks."""
        with self._changed:
            self._changed.wait_for(lambda: self._points or self._give_up_at or self._spool_waits())
            self._changed.wait_for(
                lambda: self._give_up_at or self._safe < self._asked, _WAIT_FOR_MORE
            )

    def _spool_waits(self) -> bool:
        return self._safe == 0 and self._spool.has_points

    def _deliver(self) -> None:
        """Bring all points so far to the store, or raise because it is away."""
        if self._spool.has_points:
            for points in self._spool.points():
                self._write(points)
            self._spool.drop_points()
        left = len(self._points)
        while left:
            with self._changed:
                points = list(islice(self._points, min(left, POINTS_PER_CALL)))
            self._write(points)
            left -= len(points)
            self._forget(len(points))

    def _write(self, points: list["Metric"]) -> None:
        try:
            self._store(points)
        except Exception as error:
            if is_away(error):
                raise
            logger.warning(
                "%d metric points of run %s were not stored: %s",
                len(points), self._spool.run_id, error,
            )  # fmt: skip
            self.error = self.error or error

    def _give_up_after(self, pause: float) -> bool:
        """Put on disk what must not stay in memory, then wait; tell whether to wait no more."""
        with self._changed:
            give_up_at = self._give_up_at
        left = (give_up_at or math.inf) - time.monotonic()
        if left <= 0 or self._safe < self._asked or len(self._points) > MOST_IN_MEMORY:
            self._spill()
        if left <= 0:
            return True
        if give_up_at and not self._is_waited_for:
            self._is_waited_for = True
            logger.warning("waiting for the tracking store, %d seconds at most", math.ceil(left))
        with self._changed:
            self._changed.wait_for(
                lambda: self._safe < self._asked or self._give_up_at != give_up_at,
                min(pause, left),
            )
        return False

    def _spill(self) -> None:
        with self._changed:
            points = list(self._points)
        try:
            self._spool.add_points(points)
        except Exception as error:
            logger.error("%d metric points could not be put on disk: %s", len(points), error)
            self.error = self.error or error
            with self._changed:
                self._asked = self._safe
                self._changed.notify_all()
        else:
            self._forget(len(points))

    def _forget(self, count: int) -> None:
        with self._changed:
            for _ in range(count):
                self._points.popleft()
            self._safe += count
            self._changed.notify_all()
