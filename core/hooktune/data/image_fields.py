"""The images that items and queries state, read from wherever they lie and checked."""

from pathlib import Path
from typing import Any

import numpy as np

from hooktune.contract.files import open_file
from hooktune.contract.images import (
    MOST_BYTES,
    are_images,
    image_file,
    image_text,
    is_image,
    load_image,
)
from hooktune.contract.json_lines import shortened
from hooktune.data.session_block import SessionBlock
from hooktune.errors import DataError


def stated_image(stated: Any, items: Path | str) -> str:
    """Return the image that a field of an item states, as it stands in a batch.

    Args:
        stated: The bytes of its file, its data URI, or where it lies: an address that fsspec opens,
            or a path, which begins at the folder of the items.
        items: The file of the items.

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
    address = stated if is_whole else f"{_folder(str(items))}{stated}"
    with open_file(address) as file:
        content = file.read(MOST_BYTES + 1)
    try:
        return image_text(content)
    except DataError as error:
        raise DataError(f"{address}: {error}") from None


def check_image_queries(block: SessionBlock) -> None:
    """Refuse an image as a query that could not be encoded.

    Raises:
        DataError: There is one; it names the session.
    """
    for place in np.flatnonzero(are_images(block.queries)).tolist():
        try:
            load_image(block.queries[place].as_py())
        except DataError as error:
            session = block.session_ids[place].as_py()
            raise DataError(f"the session {session!r}, its query: {error}") from None


def _folder(items: str) -> str:
    """Return what a path stands behind that begins at the folder of a file."""
    folder, slash, _ = items.rpartition("/")
    return folder + slash
