"""The long form of a log: what was shown, and what happened, as streams of Arrow tables.

Readers turn any source into it; what becomes of it afterwards is the same for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from hooktune.errors import DataError

SHOWN: Final = pa.schema(
    [
        ("search_id", pa.string()),
        ("query", pa.string()),
        ("item", pa.string()),
        ("position", pa.int64()),
        ("rank", pa.float64()),
        ("time", pa.timestamp("us", "UTC")),
        ("user", pa.string()),
        ("application", pa.string()),
        ("sorting", pa.string()),
        ("filters", pa.string()),
        ("is_returned", pa.bool_()),
        ("labels", pa.string()),
        ("line", pa.int64()),
    ]
)
"""What was shown: a row states the query of a search, an item that it showed, or both.

`position` is the item's place, from 0 or from 1 within an `application`, which may be null; `rank`
the search engine's score; `sorting` and `filters` say by what a user had the results sorted or
filtered, and are null where the order is the engine's own; `line` the line or row of the file.
`labels` is a JSON object of texts, such as `{"market": "DE"}`: what the row states of the labels
that `LogSource.labels` names. Of each label the first that is stated of a search counts.
`is_returned` marks what the engine returned, from position 1 on, where a log says of some searches
alone what of it was shown. All but `search_id` may be null.
"""
HAPPENED: Final = pa.schema(
    [
        ("search_id", pa.string()),
        ("item", pa.string()),
        ("kind", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("value", pa.float64()),
        ("line", pa.int64()),
    ]
)
"""What happened: an event of some kind on an item that a search showed.

`value` is what it is worth, such as a price or seconds. All but `kind` may be null.
"""

MAX_POSITION: Final = 100_000
"""The last position at which a result can have been shown."""

MAX_NAME_LENGTH: Final = 512
"""How many characters the names of searches, items and kinds of events have at most."""


@dataclass(frozen=True, eq=False)
class LogPart:
    """Some rows of a log in the long form.

    Args:
        shown: Columns of `SHOWN`, each an Arrow array; those that are left out are null.
        happened: Columns of `HAPPENED`.
        file: The file that they are from, for messages.
        is_whole: Whether the searches of this part are in no other one, each with its rows together
            in the order in which its items were shown, and all events on items that it shows. A
            reader that knows this spares the log from being sorted.

    Raises:
        DataError: A column is none of the long form's, or of another type.
    """

    shown: pa.Table
    happened: pa.Table
    file: str
    is_whole: bool = False

    @classmethod
    def of(
        cls,
        file: str,
        shown: Mapping[str, Any] | None = None,
        happened: Mapping[str, Any] | None = None,
        *,
        is_whole: bool = False,
    ) -> "LogPart":
        """Make a part of columns: Arrow arrays, or lists of what they hold."""
        return cls(_table(shown or {}, SHOWN), _table(happened or {}, HAPPENED), file, is_whole)


def _table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """Return columns as a table that has all columns of a schema; texts may be dictionaries."""
    unknown = [name for name in columns if name not in schema.names]
    if unknown:
        raise DataError(
            f"A log's long form has no column {unknown[0]!r}. It has {', '.join(schema.names)}."
        )
    length = max((len(values) for values in columns.values()), default=0)
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(length, field.type))
            continue
        try:
            array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
            is_text = pa.types.is_dictionary(array.type) and field.type == pa.string()
            arrays.append(array if is_text else array.cast(field.type))
        except (pa.ArrowException, OverflowError, TypeError) as error:
            raise DataError(
                f"The column {field.name!r} of a log's long form is to hold {field.type}: {error}."
            ) from None
    return pa.table(arrays, names=schema.names)
