"""Texts of other people made harmless: for a terminal, a line of a log, and a page of Markdown.

Queries, items and names come from logs and plugins, and may hold anything.
"""

import re
from typing import Final

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#~|])")
# That of an address; MLflow shows a backslash before it.
_COLON: Final = re.compile(r":(?=\S)")
_HTML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_PLAIN_CODE: Final = re.compile(r"[\w .,:;=/+%@'-]+")


def encodable(text: str) -> str:
    """Return a text that every store, file and terminal can hold: lone surrogates escaped.

    Python's own texts may hold half of a character of UTF-16, and UTF-8 cannot.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str, limit: int | None = None) -> str:
    """Return a text that no terminal can mistake for a command: control characters escaped.

    Args:
        text: The text; a line break is escaped too.
        limit: Cut what is longer than this many characters, and say how long it was.
    """
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]}… ({len(text)} characters)"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def printable_lines(text: str) -> str:
    """Return a text of several lines, such as a traceback, each made printable."""
    return "\n".join(printable(line) for line in text.split("\n"))


def markdown(text: str, limit: int = 300) -> str:
    """Return a text that Markdown shows as it is, as a part of a line or of a table's cell."""
    escaped = _MARKDOWN.sub(r"\\\1", printable(text, limit)).translate(_HTML)
    return _COLON.sub("&#58;", escaped)


def markdown_code(text: str, limit: int = 300) -> str:
    """Return a name or a value in Markdown's type for code; escaped, where that cannot hold it."""
    return (
        f"`{text}`"
        if _PLAIN_CODE.fullmatch(text[: limit + 1]) and len(text) <= limit
        else (markdown(text, limit))
    )
