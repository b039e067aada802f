"""The images that items and queries state, read from wherever they lie and checked."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hooktune.contract.files import open_file
from hooktune.contract.images import (
    MOST_BYTES,
    are_images,
    image_file,
    image_text,
    is_image,
    matches,
)
from hooktune.contract.json_lines import shortened
from hooktune.contract.log_source import Findings
from hooktune.data.session_block import SessionBlock
from hooktune.errors import DataError

_NAMES_IMAGE: Final = r"(?i)^\S+\.(png|jpe?g|gif|webp|bmp)(\?\S*)?$"


def stated_image(stated: Any, beside: Path | str) -> str:
    """Return the image that a field of an item, or a query, states, as it stands in a batch.

    Args:
        stated: The bytes of its file, its data URI, or where it lies: an address that fsspec opens,
            or a path.
        beside: The file in whose folder a path begins.

    Raises:
        DataError: There is no such image, or it cannot be used.
    """
    if isinstance(stated, bytes):
        return image_text(stated)
    if not isinstance(stated, str):
        raise DataError(
            f"an image should be a path, an address or bytes, and this is {shortened(stated)}."
        )
    if is_image(stated):
        return image_text(image_file(stated))
    is_whole = "://" in stated or Path(stated).is_absolute()
    address = stated if is_whole else f"{_folder(str(beside))}{stated}"
    with open_file(address) as file:
        content = file.read(MOST_BYTES + 1)
    try:
        return image_text(content)
    except DataError as error:
        raise DataError(f"{address}: {error}") from None


def with_image_queries(
    block: SessionBlock, findings: Findings, beside: str | None = None
) -> SessionBlock:
    """Return sessions with their image queries as these stand in a batch.

    Args:
        block: The sessions. A query that is a data URI is an image.
        findings: Takes the images that cannot be used; the query of their sessions becomes null.
        beside: A file of the log, in whose folder paths of images begin; None where a query that
            reads like the name of an image is a text.

    Raises:
        DataError: An image cannot be used, and may not be set aside; the message names the session.
    """
    stated = are_images(block.queries)
    if beside is not None:
        stated |= matches(block.queries, _NAMES_IMAGE)
    if not stated.any():
        return block
    queries = block.queries.to_pylist()
    found: dict[str, str | None] = {}
    for place in np.flatnonzero(stated).tolist():
        query = queries[place]
        if query not in found:
            try:
                found[query] = stated_image(query, beside or "")
            except DataError as error:
                found[query] = None
                session = block.session_ids[place].as_py()
                findings.set_aside(DataError(f"the session {session!r}, its query: {error}"))
        queries[place] = found[query]
    return replace(block, queries=pa.array(queries, pa.string()))


def _folder(file: str) -> str:
    """Return what a path stands behind that begins at the folder of a file."""
    folder, slash, _ = file.rpartition("/")
    return folder + slash
