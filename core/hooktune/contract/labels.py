"""Labels of searches: what a log states of a search beside its query, such as its market.

In the long form they are texts of JSON objects, whatever a log states them as.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hooktune.contract.long_form import MAX_NAME_LENGTH

_FIELDS_DEEP: Final = 4


def stated_labels(stated: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that an object or a row states.

    Args:
        stated: The object or the row.
        fields: For each label the field that holds it, or one in fields where dots stand between
            their names. A field that is missing, null or blank states nothing.

    Raises:
        ValueError: A field holds what is no label; the message names it.
    """
    found = {label: _text_in(stated, field) for label, field in fields.items()}
    return {label: text for label, text in found.items() if text is not None}


def field_names(stated: Mapping[str, Any], deep: int = _FIELDS_DEEP) -> Iterator[str]:
    """Yield the names of an object's fields, and of those in them with dots between."""
    for name, value in stated.items():
        yield name
        if deep and isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in field_names(value, deep - 1))


def _text_in(stated: Mapping[str, Any], field: str) -> str | None:
    value: Any = stated
    for name in (field,) if field in stated else field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = _as_text(value)
    if text is None or len(text) > MAX_NAME_LENGTH:
        raise ValueError(
            f"the field {field!r} should be a text of {MAX_NAME_LENGTH} characters at most, a "
            f"number, or true or false, to be a label, and is {value!r:.60}. Mend it, or name a "
            "field in it, with a dot between."
        )
    return text.strip() or None


def _as_text(value: Any) -> str | None:
    """Return a value as a text, the same from all kinds of logs; None where it holds several."""
    if isinstance(value, list | tuple | set | Mapping | bytes):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    # A column of whole numbers that has gaps is one of fractions in many tables.
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
