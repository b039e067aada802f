"""How runs come along, kept with them so that later runs can be compared at the same place."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hooktune.contract.metric import RANKING_METRIC, MainMetric
from hooktune.contract.sessions import Floats, Ints
from hooktune.errors import HooktuneError
from hooktune.evaluation.kept_files import parquet_bytes, read_kept
from hooktune.iteration.limits import NO_PRUNING, PruneKind
from hooktune.iteration.pruning import Course, Pruner
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.models.best import rank
from hooktune.tracking.records import HELD_BACK_TAG
from hooktune.tracking.search_tags import PRUNED_TAG

COURSE_FILE: Final = "evaluation/course.parquet"
"""Where a run keeps its course, among its artifacts: a row for each test query, and a column for
each evaluation, named by the share of the training that was done."""

_MOST_RUNS: Final = 20
"""How many other runs are compared with, the best ones."""


@dataclass(eq=False)
class RunCourse:
    """Follows how a run comes along.

    Args:
        main: The iteration's main metric.
        query_index: The query of each of the S test sessions.
        pruner: Tells when it has fallen behind; None where it is never to be stopped.
    """

    main: MainMetric
    query_index: Ints
    pruner: Pruner | None = None
    steps: int = 0
    """How many steps the run is to have; where the method has not told, 0, and none is followed."""
    course: Course = field(default_factory=Course)
    reason: str | None = None
    """Why it is to be stopped; None where it is not."""

    def look(self, step: int, per_session: Mapping[str, Floats]) -> None:
        """Take in an evaluation on the way.

        Args:
            step: The training step.
            per_session: What is known of each of the S sessions, by metric. Where it is not the
                main metric, the ranking is followed.
        """
        main = self.main if self.main.name in per_session else MainMetric(RANKING_METRIC)
        values = per_session.get(main.name)
        if values is None or not self.steps:
            return
        share = min(step / self.steps, 1.0)
        self.course.add(share, values_of_queries(values, self.query_index, main))
        if self.pruner is not None and self.reason is None:
            self.reason = self.pruner.reason(self.course)

    def state(self) -> dict[str, Any]:
        """Return all that was taken in, as JSON holds it."""
        values = [[None if math.isnan(v) else v for v in of.tolist()] for of in self.course.values]
        return {"shares": [*self.course.shares], "values": values, "reason": self.reason}

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Go on from what `state` returned; None leaves it at its beginning."""
        if state is not None:
            self.course = Course()
            for share, values in zip(state["shares"], state["values"], strict=True):
                self.course.add(share, np.array(values, np.float64))
            self.reason = state["reason"]


def pruned_tags(course: RunCourse) -> dict[str, str]:
    """Return the tags of a run that was stopped as it fell behind, which is never the best."""
    reason = course.reason or ""
    share = course.course.shares[-1]
    return {PRUNED_TAG: repr(share), HELD_BACK_TAG: f"stopped early: {reason}"}


def make_pruner(tracker: Tracker, iteration: Iteration, kind: PruneKind) -> Pruner | None:
    """Gather what a run that is about to begin is compared with; None where it is never stopped.

    Only runs that have finished count, so that whoever goes on with the run after a death stops it
    where it would have been stopped.
    """
    if kind == NO_PRUNING:
        return None
    main = iteration.settings.main_metric
    finished = sorted(
        (run for run in tracker.runs(iteration) if run.status == "FINISHED" and not run.held_back),
        key=lambda run: rank(main, run),
    )
    courses = [read_kept(tracker, run, COURSE_FILE, course_from) for run in finished[:_MOST_RUNS]]
    known = [course for course in courses if course is not None]
    return Pruner(kind, known) if known else None


def keep_course(tracker: Tracker, run: RunRecord, course: Course) -> None:
    """Keep a run's course with it, where anything was evaluated on the way."""
    if course.shares:
        names = [repr(share) for share in course.shares]
        columns = [values.astype(np.float32) for values in course.values]
        table = pa.table(dict(zip(names, columns, strict=True)))
        tracker.log_file(run, parquet_bytes(table), COURSE_FILE)


def course_from(content: bytes) -> Course:
    """Read what `keep_course` has kept.

    Raises:
        HooktuneError: It is no such file.
    """
    try:
        table = pq.read_table(pa.BufferReader(content))
        shares = [float(name) for name in table.column_names]
        values = [column.to_numpy().astype(np.float32) for column in table.columns]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise HooktuneError(f"its course cannot be read: {error}") from error
    return Course(shares, values)


def values_of_queries(
    per_session: Floats, query_index: Ints, main: MainMetric
) -> npt.NDArray[np.float64]:
    """Return the mean of a metric for each test query, turned so that more is better.

    Args:
        per_session: Its value in each of S sessions, NaN where a session has none.
        query_index: The query of each session.
        main: The metric.
    """
    _, rows = np.unique(query_index, return_inverse=True)
    known = np.isfinite(per_session)
    counts = np.bincount(rows[known], minlength=rows.max(initial=-1) + 1)
    sums = np.bincount(rows[known], weights=per_session[known], minlength=len(counts))
    sign = 1 if main.greater_is_better else -1
    with np.errstate(invalid="ignore"):
        means: npt.NDArray[np.float64] = sign * (sums / counts)
    return means
