"""Digests of a model's files: a list beside them, and the digest of that list on the model's run.

The list has the form of `sha256sum`, so that `sha256sum --check checksums.txt` reads it too.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CHECKSUMS: Final = "checksums.txt"

_LINE: Final = re.compile(r"([0-9a-f]{64})  (.+)")
_CHUNK: Final = 1 << 20


def write_checksums(folder: Path) -> str:
    """Write the list of a folder's files and their digests into it.

    Returns:
        The digest of the list, which seals it.
    """
    digests = sorted(digests_of(folder).items())
    text = "".join(f"{digest}  {name}\n" for name, digest in digests)
    (folder / CHECKSUMS).write_text(text, encoding="utf-8", newline="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def copy_with_digests(source: Path, to: Path) -> dict[str, str]:
    """Copy a folder's files, and return the SHA-256 digest of what was copied of each.

    What is loaded from the copy is what was digested, whoever writes to the source meanwhile. No
    link is followed, and nothing but plain files is opened.

    Raises:
        OSError: A file cannot be read or written, or is none.
    """
    digests = {}
    for name in _files(source):
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        digests[name] = _digest(source / name, target)
    return digests


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 digest of each file of a folder, by its path in it."""
    return {name: _digest(folder / name) for name in _files(folder)}


def problem_of_digests(folder: Path, digests: dict[str, str], seal: str | None) -> str | None:
    """Say which file of a model is not the one that was uploaded, or return None.

    Args:
        folder: The model's folder.
        digests: What its files are now.
        seal: The digest of the list, as the run has it; None for a model from before there was one.
    """
    present = dict(digests)
    own = present.pop(CHECKSUMS, None)
    if own is None:
        return None if seal is None else f"its list of digests, {CHECKSUMS!r}, is missing"
    if seal is not None and own != seal:
        return f"its list of digests, {CHECKSUMS!r}, is not the one that was uploaded"
    stated = _read(folder / CHECKSUMS)
    if stated is None:
        return f"its list of digests, {CHECKSUMS!r}, cannot be read"
    for name in sorted({*stated, *present}):
        if name not in present:
            return f"{name!r} is missing"
        if name not in stated:
            return f"{name!r} was not uploaded with it"
        if stated[name] != present[name]:
            return f"{name!r} is not the file that was uploaded: it is damaged, or was replaced"
    return None


def _files(folder: Path) -> Iterator[str]:
    for above, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(above, name).relative_to(folder).as_posix()


def _digest(path: Path, copy: Path | None = None) -> str:
    digest = hashlib.sha256()
    # A pipe would block, and a link might lead anywhere.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is no file")
        target = copy.open("xb") if copy else None
        try:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                if target:
                    target.write(chunk)
        finally:
            if target:
                target.close()
    return digest.hexdigest()


def _read(path: Path) -> dict[str, str] | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except ValueError:
        return None
    found = [_LINE.fullmatch(line) for line in lines]
    return {line[2]: line[1] for line in found if line} if all(found) else None
