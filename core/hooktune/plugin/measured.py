"""What plugins compute of some sessions: a number for all of them, or one for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hooktune.contract.metric import problem_of_metrics
from hooktune.contract.sessions import Floats, Sessions
from hooktune.naming import problem_of_key


@dataclass(frozen=True, eq=False)
class Measured:
    """The metrics of some sessions."""

    metrics: dict[str, float]
    """Each metric's value: of one that is known for each session, the mean."""
    per_session: dict[str, Floats]
    """The values of those that are known for each of the S sessions; NaN where one has none."""


def problem_of_measured(given: object, sessions: Sessions) -> str:
    """Say what keeps the result of `compute_metrics` from being used; empty where nothing."""
    if not isinstance(given, Mapping):
        return problem_of_metrics(given)
    arrays = {name: value for name, value in given.items() if _is_array(value)}
    for name, value in arrays.items():
        if problem := problem_of_key(name):
            return f"the metric {name!r} {problem}"
        if value.shape != (len(sessions),) or value.dtype.kind not in "fiu":
            return (
                f"the metric {name!r} is an array of {value.dtype} with the shape {value.shape}, "
                f"not one number for each of the {len(sessions)} sessions"
            )
    return problem_of_metrics({key: value for key, value in given.items() if key not in arrays})


def read_measured(given: Mapping[str, Any]) -> Measured:
    """Read what a plugin has computed, in which `problem_of_measured` finds nothing."""
    metrics: dict[str, float] = {}
    per_session: dict[str, Floats] = {}
    for name, value in given.items():
        if not _is_array(value):
            metrics[name] = float(value)
            continue
        values = np.array(value, dtype=np.float64)
        defined = values[~np.isnan(values)]
        if len(defined):
            metrics[name] = float(defined.mean())
            per_session[name] = values
    return Measured(metrics, per_session)


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0
