"""A folder that is there only once all of it is."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(to: Path) -> Iterator[Path]:
    """Give a folder to be filled beside the one that it becomes once that is done.

    Args:
        to: The folder to make.

    Raises:
        OSError: It cannot be written, or is there already.
    """
    unfinished = to.with_name(f".{to.name}.{secrets.token_hex(4)}.tmp")
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        unfinished.rename(to)
    finally:
        # After the move there is nothing left here; after any failure, Ctrl-C too, it must go.
        shutil.rmtree(unfinished, ignore_errors=True)
