"""JSON lines: read from a file in blocks, bounded in depth, with each problem's file and line."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from pydantic import ValidationError
from pydantic_core import from_json

from hooktune.contract.files import open_file
from hooktune.contract.log_source import Findings
from hooktune.errors import DataError

Lines = list[bytes]

MAX_DEPTH: Final = 64
"""How many levels deep objects and lists may stand in each other on a line."""

MAX_LINE_BYTES: Final = 1 << 24
"""How long a line is at most; a file without line breaks would take all memory."""

_BLOCK_BYTES: Final = 1 << 24
_ESCAPED = re.compile(rb"\\.")
_LOOKED_AT_ONCE: Final = 1 << 16
_WORD: Final = 64
_AS_BRACES: Final = bytes.maketrans(b"[]", b"{}")
_NEITHER_BRACKET_NOR_QUOTE: Final = bytes(set(range(256)) - set(b'[]{}"'))
_SAME_LINE = re.compile(r"line 1 (?=column)")


def read_line_blocks(path: Path | str) -> Iterator[tuple[int, Lines]]:
    """Yield the lines of a file, many at a time, each time with the number of the first, from 1.

    Args:
        path: A path, or an address that `open_file` takes; it may be compressed.

    Raises:
        DataError: The file cannot be read, holds no line that is not blank, or one of more than
            `MAX_LINE_BYTES`.
    """
    empty, number = True, 1
    with open_file(path) as file:
        for lines in _split(path, file):
            if number == 1:
                lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
            if empty and stated_lines(lines):
                empty = False
            yield number, lines
            number += len(lines)
    if empty:
        raise DataError(f"{path} is empty. It should hold one JSON object a line.")


def _split(path: Path | str, file: IO[bytes]) -> Iterator[Lines]:
    """Yield the lines of a file without their line breaks, many at a time."""
    before, rest = 0, b""
    lines: Lines = []
    while content := file.read(_BLOCK_BYTES):
        if lines:
            yield lines
        *lines, rest = (rest + content).split(b"\n")
        before += len(lines)
        if len(rest) > MAX_LINE_BYTES:
            raise line_error(
                path,
                before + 1,
                f"it is longer than {MAX_LINE_BYTES:,} bytes. Write one JSON object a line.",
            )
    if rest:
        lines.append(rest)
    if lines:
        yield lines


def stated_lines(lines: Lines) -> Lines:
    """Return the lines that are not blank, without the whitespace at their ends."""
    return [stated for line in lines if (stated := line.rstrip())]


def texts_of_lines(path: Path | str, first_number: int, lines: Lines) -> Iterator[tuple[int, str]]:
    """Yield the lines of UTF-8 that are not blank, with their numbers."""
    for number, line in enumerate(lines, start=first_number):
        if stated := line.rstrip():
            yield number, _decoded(path, number, stated)


def read_texts(path: Path | str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are not blank, with their numbers.

    Raises:
        DataError: The file or one of its lines cannot be read.
    """
    for number, lines in read_line_blocks(path):
        yield from texts_of_lines(path, number, lines)


def read_objects(
    path: Path | str, findings: Findings, lines: list[bytes] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file of JSON lines, with the numbers of their lines.

    Args:
        path: A path, or an address that `open_file` takes; it may be compressed.
        findings: Takes how many lines there are, and those that are set aside.
        lines: The file's first lines, to read these alone.

    Raises:
        DataError: The file cannot be read, or a line is no JSON object and may not be set aside.
    """
    for first, block in read_line_blocks(path) if lines is None else ((1, lines),):
        for number, line in enumerate(block, start=first):
            stated = line.rstrip()
            if not stated:
                continue
            findings.lines += 1
            try:
                yield number, _object_of(path, number, stated)
            except DataError as error:
                findings.set_aside(error)


def _object_of(path: Path | str, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = from_json(_decoded(path, number, line))
    except ValueError as error:
        raise line_error(path, number, not_json(str(error))) from None
    if not isinstance(found, dict):
        raise line_error(path, number, not_an_object(found))
    return found


def explain(error: ValidationError) -> str:
    """Say in a short sentence what the first problem of a JSON object is."""
    first = error.errors(include_url=False)[0]
    kind, given = first["type"], first["input"]
    if kind == "json_invalid":
        return not_json(first["ctx"]["error"])
    if kind == "value_error":
        return f"{first['ctx']['error']}."
    if not first["loc"]:
        return not_an_object(given)
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    field = f"the field {field.removeprefix('.')!r}"
    if kind == "missing":
        return f"{field} is missing."
    if kind == "string_too_short":
        return f"{field} is empty."
    message = first["msg"].removeprefix("Input ")
    return f"{field} {message}, and is {shortened(given)}."


def is_too_deep(line: bytes) -> bool:
    """Tell whether objects and lists stand in each other on a line more than `MAX_DEPTH` deep.

    It is to be asked before a line is parsed: parsers take time by the square of the depth.
    """
    if line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
        return False
    if b"\\" in line:
        line = _ESCAPED.sub(b"", line)
    brackets = line.translate(_AS_BRACES, _NEITHER_BRACKET_NOR_QUOTE)
    brackets = b"".join(brackets.split(b'"')[::2])
    # Each turn takes away the innermost level; what never closes is left over.
    for depth in range(MAX_DEPTH + 1):
        if depth + brackets.count(b"{") <= MAX_DEPTH:
            return False
        brackets = brackets.replace(b"{}", b"")
    return True


def deep_lines(lines: Lines, text: bytes) -> Lines:
    """Return the lines that are too deep; one look at all of them tells most that are not.

    Args:
        lines: Lines without line breaks.
        text: The same, joined by line breaks.
    """
    content = np.frombuffer(text, np.uint8)
    parts = (
        # The two brackets that open something differ in one bit.
        np.packbits(content[start : start + _LOOKED_AT_ONCE] | 0x20 == ord("{"))
        for start in range(0, len(content), _LOOKED_AT_ONCE)
    )
    opening = np.concatenate([*parts, np.zeros(_WORD // 8, np.uint8)])
    words = opening[: len(opening) // 8 * 8].view(np.uint64)
    before = np.concatenate([[0], np.cumsum(np.bitwise_count(words), dtype=np.int64)])
    lengths = np.fromiter(map(len, lines), np.int64, len(lines))
    ends = np.cumsum(lengths + 1) - 1
    # Whole words are counted, so some brackets of a line's neighbours too.
    at_most = before[-(-ends // _WORD)] - before[(ends - lengths) // _WORD]
    doubtful = (lines[place] for place in np.flatnonzero(at_most > MAX_DEPTH))
    return [line for line in doubtful if is_too_deep(line)]


def _decoded(path: Path | str, number: int, line: bytes) -> str:
    if is_too_deep(line):
        raise line_error(
            path,
            number,
            f"objects and lists stand in each other more than {MAX_DEPTH} levels deep. "
            "Take out fields that no search log needs.",
        )
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise line_error(
            path,
            number,
            f"not UTF-8: the byte 0x{line[error.start]:02x} at column {error.start + 1}. "
            "Save the file in UTF-8.",
        ) from None


def not_json(why: str) -> str:
    """Say of a line that it is no JSON."""
    return f"not JSON: {_SAME_LINE.sub('', why)}. Each line should be one JSON object."


def not_an_object(given: object) -> str:
    """Say of a line of JSON that it is no object."""
    return f"each line should be one JSON object, and this is {shortened(given)}."


def shortened(given: object, limit: int = 40) -> str:
    """Return a value as JSON, cut where it is long."""
    text = json.dumps(given, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def line_error(path: Path | str, number: int, problem: str) -> DataError:
    """Return the error that a line of a file cannot be used."""
    return DataError(f"{path}, line {number}: {problem}")
