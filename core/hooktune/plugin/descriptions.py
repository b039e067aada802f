"""Whether what a plugin tells of its metrics can be used."""

from typing import Any, Final

from hooktune.contract.metric import TEST_PREFIX, TRAIN_PREFIX, MetricDescription
from hooktune.naming import problem_of_key
from hooktune.plain_text import kind_of

_NOTHING: Final = object()


def problem_of_list(given: object, of: type) -> str:
    """Say what keeps a result from being a list of some type; empty where nothing."""
    if not isinstance(given, list | tuple):
        return f"it returned {kind_of(given)}, not a list of {of.__name__}"
    wrong = next((entry for entry in given if not isinstance(entry, of)), _NOTHING)
    return "" if wrong is _NOTHING else f"it returned {kind_of(wrong)} among the {of.__name__}"


def problem_of_descriptions(given: Any) -> str:
    """Say what keeps the result of `describe_metrics` from being used; empty where nothing."""
    if problem := problem_of_list(given, MetricDescription):
        return problem
    for description in given:
        if problem := problem_of_key(description.name):
            return f"the metric {description.name!r} {problem}"
        for prefix in (TRAIN_PREFIX, TEST_PREFIX):
            if description.name.startswith(prefix):
                return (
                    f"it describes {description.name!r}, and hooktune adds the prefix {prefix} "
                    f"itself; name it {description.name.removeprefix(prefix)!r}"
                )
    return ""
