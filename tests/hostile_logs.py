"""Logs that nobody wrote in good faith: what they are tried with, and what a refusal is."""

import codecs
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from hooktune.data.manifest import BatchManifest
from hooktune.errors import DataError, RequestError
from hooktune.iteration.log_release import release_batch
from hooktune.testing import made_up_log

MOST_SECONDS: Final = 5.0
DEEP: Final = 16_000
MANY_DIGITS: Final = b"9" * 400
MORE_DIGITS: Final = b"9" * 5000

SESSIONS, ITEMS = made_up_log(0, sessions=6, items=12)

NO_LINES: Final[dict[str, tuple[bytes, str]]] = {
    "10,000 lists": (b"[" * 10_000 + b"]" * 10_000, "64 levels deep"),
    "16,000 objects": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "64 levels deep"),
    "lists that never close": (b'{"a":' + b"[" * DEEP, "64 levels deep"),
    "objects that never close": (b'{"a":' * DEEP, "64 levels deep"),
    "brackets and quotes": (b'["' * DEEP, "64 levels deep"),
    "brackets in turn": (b'[{"a":' * 5_000, "64 levels deep"),
    "closing brackets": (b"]" * 10_000, "not JSON"),
    "a whole number of 5000 digits": (b'{"a": ' + MORE_DIGITS + b"}", "not JSON"),
    "a lone surrogate": (b'{"a": "\\ud800"}', "not JSON"),
    "a lone surrogate in bytes": (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
    "an overlong slash": (b'{"a": "\xc0\xaf"}', "not UTF-8"),
    "latin 1": ('{"a": "caf\xe9"}'.encode("latin-1"), "not UTF-8"),
    "NUL bytes": (b"\x00" * 100, "not JSON"),
    "a NUL in a text": (b'{"a": "\x00"}', "not JSON"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "a mark of byte order in the middle": (codecs.BOM_UTF8 + b"{}", "not JSON"),
    "two objects": (b"{}{}", "not JSON"),
    "a comment": (b"{} // so", "not JSON"),
    "single quotes": (b"{'a': 1}", "not JSON"),
    "half an object": (b'{"a": ', "not JSON"),
    "a list": (b"[1, 2]", "one JSON object"),
    "a text": (b'"session"', "one JSON object"),
    "null": (b"null", "one JSON object"),
    "a very long text": (b'"' + b"x" * 100_000 + b'"', "one JSON object"),
    "terminal codes": (b"\x1b[2J\x1b]0;owned\x07", "not JSON"),
}
"""Lines that are no JSON object, each with what is said of it."""


def released(
    desk: Path, log: str | Path, items: str = "items.jsonl", **given: Any
) -> BatchManifest:
    """Release a log with the items of a desk."""
    return release_batch(log, desk / items, desk / "batch", **given)


@contextlib.contextmanager
def refused(desk: Path, *words: str) -> Iterator[None]:
    """A refusal in words, soon, which leaves nothing behind."""
    before, began = set(desk.iterdir()), time.process_time()
    with pytest.raises((DataError, RequestError)) as refusal:
        yield
    assert time.process_time() - began < MOST_SECONDS
    said = str(refusal.value)
    assert len(said) < 1500
    for word in words:
        assert word in said, said
    assert set(desk.iterdir()) == before
