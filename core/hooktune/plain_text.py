"""Texts of other people made harmless: for a terminal, a line of a log, and a page of Markdown.

Queries, items and names come from logs and plugins, and may hold anything. Errors and their
tracebacks may hold the secrets of the store, which every function here hides once `hide` was told
of them.
"""

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#~|])")
# That of an address; MLflow shows a backslash before it.
_COLON: Final = re.compile(r":(?=\S)")
_HTML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_PLAIN_CODE: Final = re.compile(r"[\w .,:;=/+%@'-]+")
HIDDEN: Final = "***"
# Of any address, such as one of a plugin that nobody has told of.
_PASSWORD_OF_ADDRESS: Final = re.compile(r"(?<=://)([^\s:/@'\"]*):[^\s'\"]+(?=@)")
# A word or a number that stands in ordinary texts, too, such as `admin`, `mlflow` or `2024`.
_COMMON: Final = re.compile(r"[A-Z]?[a-z]{0,8}|[A-Z]{0,8}|\d{0,8}|.{0,3}", re.DOTALL)
# Where such a one is certainly the password: in an address, or after its name.
_AS_PASSWORD: Final = (
    r"(?<=:){0}(?=@)",
    r"(?<=//){0}(?=@)",
    *(rf"(?<=(?i:{name})[=:]){{0}}(?!\w)" for name in ("password", "passwd", "pwd", "token")),
)


class _Secrets:
    """What no text may hold that leaves the process: one object for the whole process."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, secrets: Iterable[str]) -> None:
        """Take secrets; short and common ones are hidden where a password stands alone.

        A password `admin` that was hidden everywhere would make texts unreadable, and tell itself
        by what is missing in them.
        """
        for secret in filter(None, secrets):
            where = _AS_PASSWORD if _COMMON.fullmatch(secret) else ("{0}",)
            for form in _forms(secret):
                found = (place.replace("{0}", re.escape(form)) for place in where)
                self._known |= dict.fromkeys(found)
        # The longest first, since one form may begin another.
        known = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(known)) if known else None

    def hidden(self, text: str) -> str:
        """Return a text without them."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)


def _forms(secret: str) -> list[str]:
    """Return how a secret is written: as it is, in an address, in JSON, and by Python's `repr`."""
    quoted = [quote(secret, safe=""), quote(secret), quote_plus(secret)]
    quoted += [quote(secret, safe=" +"), quote(secret, safe="!$&'()*+,;=:")]
    escaped = [json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]]
    escaped += [repr(secret)[1:-1], secret.encode("unicode_escape").decode()]
    lower = [re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), form) for form in quoted]
    return list(dict.fromkeys([secret, *quoted, *lower, *escaped]))


_SECRETS: Final = _Secrets()


def hide(secrets: Iterable[str]) -> None:
    """Hide some secrets, from now on, in every text that leaves this process."""
    _SECRETS.add(secrets)


def without_secrets(text: str) -> str:
    """Return a text without the secrets that `hide` was told of, or passwords in addresses."""
    hidden = _SECRETS.hidden(text)
    return _PASSWORD_OF_ADDRESS.sub(rf"\1:{HIDDEN}", hidden) if "://" in hidden else hidden


def encodable(text: str) -> str:
    """Return a text that every store, file and terminal can hold, without a secret.

    Python's own texts may hold half of a character of UTF-16, which is escaped: UTF-8 cannot.
    """
    return without_secrets(text).encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str, limit: int | None = None) -> str:
    """Return a text that no terminal can mistake for a command: control characters escaped.

    Args:
        text: The text; a line break is escaped too.
        limit: Cut what is longer than this many characters, and say how long it was.
    """
    text = without_secrets(text)
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
    text = without_secrets(text)
    return (
        f"`{text}`"
        if _PLAIN_CODE.fullmatch(text[: limit + 1]) and len(text) <= limit
        else (markdown(text, limit))
    )


def kind_of(value: object) -> str:
    """Name a value's type for a message; a class is named itself."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"of the type {type(value).__name__}"
