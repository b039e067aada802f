"""Files of logs, items and judgements that are something else: refused soon, and left alone."""

import bz2
import codecs
import contextlib
import gzip
import json
import lzma
import os
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import pyarrow as pa
import pytest
from hostile_logs import ITEMS, MANY_DIGITS, NO_LINES, SESSIONS, refused, released
from log_writers import write_json_lines

from hooktune.data.judgements import read_judgements


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with good items."""
    write_json_lines(tmp_path / "items.jsonl", ITEMS)
    return tmp_path


GOOD: Final = "".join(json.dumps(session) + "\n" for session in SESSIONS)
CONTENTS: Final[dict[str, tuple[str, bytes, str]]] = {
    "nothing": ("a.jsonl", b"", "is empty"),
    "blank lines": ("a.jsonl", b"\n \n\t\n" * 1000, "is empty"),
    "a mark of byte order alone": ("a.jsonl", codecs.BOM_UTF8, "is empty"),
    "UTF-16": ("a.jsonl", GOOD.encode("utf-16"), "not UTF-8"),
    "UTF-32": ("a.jsonl", GOOD.encode("utf-32"), "line 1"),
    "a picture": ("a.jsonl", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, "line 1"),
    "gzip without its name": ("a.jsonl", gzip.compress(GOOD.encode()), "not UTF-8"),
    "no gzip": ("a.jsonl.gz", GOOD.encode(), "cannot be read"),
    "gzip that was cut": ("a.jsonl.gz", gzip.compress(GOOD.encode())[:-200], "cannot be read"),
    "gzip with a wrong sum": (
        "a.jsonl.gz", gzip.compress(GOOD.encode())[:-8] + b"\0" * 8, "cannot be read"),
    "gzip and more": ("a.jsonl.gz", gzip.compress(GOOD.encode()) + b"more", "cannot be read"),
    "no bzip2": ("a.jsonl.bz2", GOOD.encode(), "cannot be read"),
    "bzip2 that was cut": ("a.jsonl.bz2", bz2.compress(GOOD.encode())[:-40], "cannot be read"),
    "no xz": ("a.jsonl.xz", GOOD.encode(), "cannot be read"),
    "xz that was cut": ("a.jsonl.xz", lzma.compress(GOOD.encode())[:-40], "cannot be read"),
    "no zstandard": ("a.jsonl.zst", GOOD.encode(), "cannot be read"),
    "no snappy": ("a.jsonl.sz", GOOD.encode(), "cannot be read"),
    "snappy of an unknown kind": (
        "a.jsonl.sz", b"\xff\x06\x00\x00sNaPpY\x05\x01\x00\x00x", "unknown kind"),
    "snappy that promises too much": (
        "a.jsonl.sz", b"\xff\x06\x00\x00sNaPpY\x00\x09\x00\x00abcd\xff\xff\xff\xff\x0f",
        "none may"),
    "a line of two blocks": (
        "a.jsonl", b'{"a": "' + b"x" * (40 << 20) + b'"}', "line 1: it is longer than"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("role", ["log", "items"])
def test_a_file_that_is_something_else_is_refused(desk: Path, role: str, name: str):
    file, content, problem = CONTENTS[name]
    (desk / file).write_bytes(content)
    log = write_json_lines(desk / "log.jsonl", SESSIONS)
    with refused(desk, file, problem):
        if role == "log":
            released(desk, desk / file)
        else:
            released(desk, log, file)


COMPRESS: Final[dict[str, Callable[[bytes], bytes]]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda text: pa.compress(text, codec="zstd", asbytes=True),
}


@cache
def zeros(ending: str) -> bytes:
    """32 MiB of zeros, compressed."""
    return COMPRESS[ending](bytes(32 << 20))


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
@pytest.mark.parametrize("start", [b"", b"search_id,query\ns,"], ids=["at once", "in a row"])
def test_a_bomb_of_10_gigabytes_is_put_down_at_its_beginning(
    desk: Path, name: str, ending: str, start: bytes
):
    file = desk / f"{name}{ending}"
    file.write_bytes(COMPRESS[ending](start) + zeros(ending) * 320)
    with refused(desk, file.name):
        released(desk, file)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_loop(path: Path) -> None:
    path.symlink_to(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)


NO_FILES: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "nothing": (lambda path: None, "there is no such file"),
    "a folder": (a_folder, "is a folder"),
    "a pipe": (os.mkfifo, "is a pipe or a device"),
    "a socket": (a_socket, "is a pipe or a device"),
    "a link to itself": (a_loop, "cannot be read"),
    "a link to nothing": (lambda path: path.symlink_to("/nothing"), "there is no such file"),
    "a link to a folder": (lambda path: path.symlink_to("/"), "is a folder"),
    "a link to an endless device": (
        lambda path: path.symlink_to("/dev/zero"), "is a pipe or a device"),
    "a link to an empty device": (
        lambda path: path.symlink_to("/dev/null"), "is a pipe or a device"),
    "a link to the terminal": (lambda path: path.symlink_to("/dev/tty"), "is a pipe or a device"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_FILES)
@pytest.mark.parametrize("role", ["log", "items", "judgements"])
def test_what_is_no_file_is_refused_and_not_waited_for(desk: Path, role: str, name: str):
    make, problem = NO_FILES[name]
    make(desk / "given")
    log = write_json_lines(desk / "log.jsonl", SESSIONS)
    with refused(desk, "given", problem):
        if role == "log":
            released(desk, desk / "given")
        elif role == "items":
            released(desk, log, "given")
        else:
            read_judgements(desk / "given")


@pytest.mark.parametrize("given", ["", "x" * 300, "a\0b", "file://", "http://", "s3://", "x://y"])
def test_a_name_that_no_file_can_have_is_refused(desk: Path, given: str):
    with refused(desk):
        released(desk, given)


def test_a_link_to_a_good_log_is_read(desk: Path):
    log = write_json_lines(desk / "log.jsonl", SESSIONS)
    (desk / "link").symlink_to(log)
    assert released(desk, desk / "link").counts.sessions == len(SESSIONS)


# Judgements.

GRADED: Final = b'{"query": "q", "object_id": "a", "grade": 1}\n'
JUDGEMENTS: Final[dict[str, tuple[str, bytes, str]]] = {
    **{f"{name}, as a line": ("a.jsonl", GRADED + line + b"\n", "line 2")
       for name, (line, _) in NO_LINES.items()},
    "a grade of 400 digits": (
        "a.jsonl", GRADED.replace(b"1}", MANY_DIGITS + b"}"), "is no number"),
    "an endless grade": ("a.jsonl", GRADED.replace(b"1}", b"1e999}"), "line 1"),
    "a grade that is true": ("a.jsonl", GRADED.replace(b"1}", b"true}"), "no text and no number"),
    "a grade that is a list": ("a.jsonl", GRADED.replace(b"1}", b"[1]}"), "no text and no number"),
    "a line that never ends": ("a.jsonl", b"x" * (20 << 20), "longer than"),
    "a field of 200 kB": (
        "a.csv", b"query,object_id,grade\n" + b"q" * 200_000 + b",a,1\n", "no line of a table"),
    "a header of 200 kB": ("a.csv", b"q" * 200_000 + b"\nq,a,1\n", "no line of a table"),
    "a quote that never ends": ("a.csv", b'query,object_id,grade\n"q,a,1\n' * 3, "line"),
    "nothing": ("a.csv", b"", "the column 'query' is missing"),
    "NUL": ("a.tsv", b"\0" * 1000, "line 1"),
    "latin 1": ("a.qrels", "caf\xe9 0 a 1\n".encode("latin-1"), "is not UTF-8"),
    "UTF-16": ("a.qrels", "q 0 a 1\n".encode("utf-16"), "is not UTF-8"),
    "no gzip": ("a.jsonl.gz", GRADED, "cannot be read"),
    "gzip that was cut": ("a.jsonl.gz", gzip.compress(GRADED * 100)[:-9], "cannot be read"),
    "one field": ("a.tsv", b"q\n" * 1000, "line 1: 1 fields"),
    "a thousand fields": ("a.tsv", b"q\t" * 1000, "line 1"),
    "grades that differ": (
        "a.tsv", b"q\ta\t1\n" * 1000 + b"q\ta\t2\n", "line 1001: the item 'a' has another grade"),
}  # fmt: skip


@pytest.mark.parametrize("name", JUDGEMENTS)
def test_judgements_that_cannot_be_used_are_refused(desk: Path, name: str):
    file, content, problem = JUDGEMENTS[name]
    (desk / file).write_bytes(content)
    with refused(desk, file, problem):
        read_judgements(desk / file)


def test_compressed_judgements_are_read(desk: Path):
    (desk / "a.jsonl.gz").write_bytes(gzip.compress(GRADED))
    assert read_judgements(desk / "a.jsonl.gz").grades == {"q": {"a": 1.0}}
