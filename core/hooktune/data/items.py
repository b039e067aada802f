"""The items of a log: from JSON lines and tables to checked texts and images, one at a time."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from hooktune.contract.images import is_image
from hooktune.contract.json_lines import (
    explain,
    not_an_object,
    not_json,
    read_texts,
    shortened,
)
from hooktune.contract.log_source import Findings
from hooktune.data.image_fields import stated_image
from hooktune.data.log_schema import Item
from hooktune.data.tables import TABLE_ENDINGS, ending_of, read_rows
from hooktune.errors import DataError, RequestError, did_you_mean

_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_ROWS_AT_ONCE: Final = 256  # each may hold an image
_NAMES: Final = ("object_id", "_id", "item_id", "product_id", "doc_id", "item", "sku", "id")
"""What may name an item; JSON lines that have none of the first two are refused."""


def read_items(
    path: Path | str,
    template: str = "{text}",
    sql: str | None = None,
    image: str | None = None,
    findings: Findings | None = None,
    is_wanted: Callable[[str], bool] | None = None,
) -> Iterator[Item]:
    """Read items from JSON lines, or from a table of a row each.

    Args:
        path: JSON lines, of which each has an `object_id`, or an `_id`, and any other fields; or a
            table that `read_rows` reads, told by its ending, with a column such as `object_id`,
            `item_id` or `sku`. Blank lines are passed over.
        template: How an item's text is made of its fields, such as `{title}. {text}`, or of fields
            in fields, such as `{brand.name}`. A field that is used is to hold a text or a number;
            in a table it may be empty.
        sql: What to ask the database that `path` is the address of.
        image: The field that holds an image, as `stated_image` takes it, which then stands for the
            item. An item without one is its text.
        findings: Takes the lines that are set aside; by default none may be.
        is_wanted: Tells by its name whether an item is wanted: no other is looked at. None for all.

    Yields:
        The items in the file's order; one that is stated twice in the same words comes once.

    Raises:
        DataError: The file or one of its lines cannot be used, or two lines give one object id
            different texts.
        RequestError: The template names no field.
    """
    # What stands around the fields, with the fields between.
    parts = _FIELD.split(template)
    if len(parts) == 1:
        raise RequestError(
            f"The text template {template!r} names no field. "
            "Write one such as '{title}. {text}'."
        )
    findings = findings or Findings()
    stated_at: dict[str, str] = {}
    # The hash stands for the text: the texts of all items might not fit into memory.
    hashes: dict[str, int] = {}
    is_table = sql is not None or ending_of(str(path)) in TABLE_ENDINGS
    for where, line in _table_rows(str(path), sql) if is_table else _lines(path):
        findings.lines += 1
        try:
            stated = _object(line)
            if is_wanted is not None and not is_wanted(str(stated.get("object_id"))):
                continue
            item = _item(stated, parts, image, path)
            first = stated_at.setdefault(item.object_id, where)
            text_hash = hash(item.text)
            if text_hash != hashes.setdefault(item.object_id, text_hash):
                raise DataError(f"the item {item.object_id!r} has another text than on {first}.")
        except ValidationError as error:
            findings.set_aside(DataError(f"{path}, {where}: {explain(error)}"))
        except (DataError, ValueError) as error:
            findings.set_aside(DataError(f"{path}, {where}: {error}"))
        else:
            if first == where:
                yield item


def _lines(path: Path | str) -> Iterator[tuple[str, Any]]:
    for number, line in read_texts(path):
        yield f"line {number}", line


def _table_rows(address: str, sql: str | None) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a table, with what of the row is empty as an empty text."""
    for rows in read_rows(address, sql, Findings()):
        columns = {name.casefold(): name for name in reversed(rows.table.column_names)}
        named = next((columns[name] for name in _NAMES if name in columns), None)
        if named is None:
            raise DataError(
                f"{rows.source} has no column that names its items: it has "
                f"{', '.join(map(repr, rows.table.column_names))}. Call one 'object_id'; of a "
                "database with several tables ask for one by --items-sql."
            )
        for start in range(0, len(rows.table), _ROWS_AT_ONCE):
            some = rows.table.slice(start, _ROWS_AT_ONCE).to_pylist()
            for number, row in enumerate(some, start=rows.first + start):
                stated = {name: "" if value is None else value for name, value in row.items()}
                yield f"{rows.unit} {number}", stated | {"object_id": stated[named]}


def _object(line: str | dict[str, Any]) -> dict[str, Any]:
    stated: Any = line
    if isinstance(line, str):
        try:
            stated = from_json(line)
        except ValueError as error:
            raise ValueError(not_json(str(error))) from None
    if not isinstance(stated, dict):
        raise ValueError(not_an_object(stated))
    if "object_id" not in stated and "_id" in stated:
        # As BEIR's corpora name their documents.
        stated["object_id"] = stated["_id"]
    return stated


def _item(
    stated: dict[str, Any],
    parts: list[str],
    image: str | None,
    path: Path | str,
) -> Item:
    found = None if image is None else _looked_up(stated, image, "--image")
    if found not in (None, "", b""):
        named = Item.model_validate({**stated, "text": ""})
        try:
            return named.model_copy(update={"text": stated_image(found, path)})
        except DataError as error:
            raise DataError(f"the image of the item {named.object_id!r}: {error}") from None
    values = [_field_text(stated, field) for field in parts[1::2]]
    filled = parts.copy()
    filled[1::2] = values
    item = Item.model_validate({**stated, "text": "".join(filled).strip()})
    if not any(map(str.strip, values)):
        raise ValueError(f"the item {item.object_id!r} has a blank text.")
    if is_image(item.text):
        return item.model_copy(update={"text": stated_image(item.text, path)})
    return item


def _field_text(stated: dict[str, Any], field: str) -> str:
    value = _looked_up(stated, field, "the text template")
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"the field {field!r} should be a text, and is {shortened(value)}.")
    return str(value)


def _looked_up(stated: dict[str, Any], field: str, named_by: str) -> Any:
    """Return a field, or one in fields where dots stand between their names."""
    if field in stated:
        return stated[field]
    found: Any = stated
    for name in field.split("."):
        if not isinstance(found, dict) or name not in found:
            raise ValueError(
                f"the field {field!r}, which {named_by} names, is missing. "
                f"{did_you_mean(field, stated)}"
            )
        found = found[name]
    return found
