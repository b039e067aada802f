"""By what a user had the results of a search sorted or filtered, where it is stated."""

import json
from typing import Any, Final

_UNREFINED: Final = frozenset(
    {"", "relevance", "relevancy", "default", "best_match", "best match", "score", "_score",
     "rank", "none", "null", "all", "false", "[]", "{}"}
)  # fmt: skip
_LONGEST: Final = 512


def refinement(stated: Any) -> str | None:
    """Return what results were sorted or filtered by; None where the order is the engine's own.

    Args:
        stated: A text, or a list or an object that says it.

    Raises:
        ValueError: It is something else.
    """
    if stated is None or (isinstance(stated, list | dict) and not stated):
        return None
    if isinstance(stated, list | dict):
        text = json.dumps(stated, ensure_ascii=False, default=str)
    elif isinstance(stated, str | int):
        text = str(stated).strip()
    else:
        raise ValueError("no text, list or object")
    return None if text.casefold() in _UNREFINED else text[:_LONGEST]
