"""Whether what a plugin tells of its metrics can be used."""

from hooktune.contract.metric import TEST_PREFIX, TRAIN_PREFIX, MetricDescription
from hooktune.naming import problem_of_key
from hooktune.plain_text import kind_of


def problem_of_descriptions(given: object) -> str:
    """Say what keeps the result of `describe_metrics` from being used; empty where nothing."""
    if not isinstance(given, list | tuple):
        return f"it returned {kind_of(given)}, not a list of MetricDescription"
    for description in given:
        if not isinstance(description, MetricDescription):
            return f"it returned {kind_of(description)} among the MetricDescription"
        if problem := problem_of_key(description.name):
            return f"the metric {description.name!r} {problem}"
        for prefix in (TRAIN_PREFIX, TEST_PREFIX):
            if description.name.startswith(prefix):
                return (
                    f"it describes {description.name!r}, and hooktune adds the prefix {prefix} "
                    f"itself; name it {description.name.removeprefix(prefix)!r}"
                )
    return ""
