"""What a run's tags tell of the search that it belongs to."""

import json
import math
from collections.abc import Mapping
from typing import Final

from hooktune.tracking.tag_values import json_object, whole_number

RUN_NUMBER_TAG: Final = "hooktune.run_number"
SEARCHED_TAG: Final = "hooktune.searched"
PROPOSED_BY_TAG: Final = "hooktune.proposed_by"
PRUNED_TAG: Final = "hooktune.pruned"
"""Of a run that was stopped as it fell behind others: the share of its training that it had."""
AVERAGE_TAG: Final = "hooktune.average_of"
"""Of a run whose model is the mean of others', and which so says nothing of its params."""


def search_tags(number: int, searched: tuple[str, ...], proposed_by: str) -> dict[str, str]:
    """Return the tags of a run that a search has proposed.

    Args:
        number: Its number in the search, from 0.
        searched: The hyper-parameters that the search chose, whatever it chose.
        proposed_by: Where they come from, in words.
    """
    return {
        RUN_NUMBER_TAG: str(number),
        SEARCHED_TAG: json.dumps(dict.fromkeys(searched, True)),
        PROPOSED_BY_TAG: proposed_by,
    }


def run_number(tags: Mapping[str, str]) -> int | None:
    """Return a run's number in its search; None for runs of earlier versions, and for averages."""
    return whole_number(tags.get(RUN_NUMBER_TAG))


def pruned_after(tags: Mapping[str, str]) -> float | None:
    """Return after which share of its training a run was stopped; None for one that was not."""
    try:
        share = float(tags[PRUNED_TAG])
    except (KeyError, ValueError):
        return None
    return min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0


def searched_names(tags: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the hyper-parameters that a run's search has chosen."""
    found = json_object(tags.get(SEARCHED_TAG)) or {}
    return frozenset(found)
