"""Kinds of values that may stand in a model's settings: words, texts, and what is made of them."""

import re
from collections.abc import Callable
from typing import Any, Final

Check = Callable[[Any], bool]
"""Tells whether a value may stand under a key."""

KEY: Final = re.compile(r"(?!__)[A-Za-z0-9_][\w.-]{0,100}")
_WORD: Final = re.compile(r"[\w .,+()\[\]|<>-]{0,100}")

_NAMES_SOMETHING: Final = frozenset(
    {
        "adapter", "architecture", "archive", "backbone", "backend", "cache", "checkpoint", "class",
        "code", "commit", "dataset", "dir", "extractor", "file", "filename", "folder", "format",
        "hub", "implementation", "import", "index", "kernel", "kernels", "map", "method", "module",
        "name", "names", "path", "paths", "pretrained", "processor", "repo", "repository",
        "retriever", "revision", "subfolder", "template", "tokenizer", "uri", "url",
    }
)  # fmt: skip
"""Words in a key that make its text a name of what is to be loaded: it has to be listed."""
_NAMES_A_CHOICE: Final = ("act", "activation", "activation_function", "act_fn", "dtype", "type")
"""How keys end whose text is one of the library's own words."""

_OFF: Final = frozenset(
    {
        "allow_all_kernels", "gguf_file", "trust_remote_code", "use_kernels",
        "use_pretrained_backbone", "use_timm_backbone",
    }
)  # fmt: skip
_ON: Final = frozenset({"use_safetensors", "weights_only"})


def is_scalar(value: Any) -> bool:
    """Tell whether a value is a number, a boolean or None."""
    is_infinite = isinstance(value, dict) and value == {"__float__": "Infinity"}
    return value is None or isinstance(value, bool | int | float) or is_infinite


def is_number(value: Any) -> bool:
    """Tell whether a value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_word(value: Any) -> bool:
    """Tell whether a value is a scalar or a short text that can be no address and no path."""
    return is_scalar(value) or matches(_WORD)(value)


def is_words(value: Any) -> bool:
    """Tell whether a value is a word, or a list of words at any depth."""
    return all(map(is_words, value)) if isinstance(value, list) else is_word(value)


def is_text(value: Any) -> bool:
    """Tell whether a value is a text of any kind, or None."""
    return value is None or isinstance(value, str)


def is_plain(value: Any) -> bool:
    """Tell whether a value is made of words and numbers, with keys that name nothing to load."""
    if isinstance(value, dict):
        return all(
            KEY.fullmatch(key)
            and (is_plain(inner) if isinstance(inner, dict) else is_harmless(key, inner))
            for key, inner in value.items()
        )
    return all(map(is_plain, value)) if isinstance(value, list) else is_word(value)


def is_harmless(key: str, value: Any) -> bool:
    """Tell whether a value may stand under a key of which nothing is known."""
    if key in _OFF:
        return value is None or value is False
    if key in _ON:
        return value is None or value is True
    if isinstance(value, list):
        return all(is_harmless(key, inner) for inner in value)
    names = not _NAMES_SOMETHING.isdisjoint(re.split(r"[_.-]", key.lower()))
    if isinstance(value, str) and value and names and not key.endswith(_NAMES_A_CHOICE):
        return False
    return is_word(value)


def matches(pattern: re.Pattern[str]) -> Check:
    """Return a check for texts that match a pattern as a whole."""
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def or_none(check: Check) -> Check:
    """Return a check that lets None pass too."""
    return lambda value: value is None or check(value)


def one_of(*allowed: bool | str | None) -> Check:
    """Return a check for some values; 1 is not taken for True."""
    return lambda value: any(type(value) is type(entry) and value == entry for entry in allowed)


def lists(check: Check) -> Check:
    """Return a check for lists of what passes another check."""
    return lambda value: isinstance(value, list) and all(map(check, value))


def pairs(keys: Check, values: Check) -> Check:
    """Return a check for objects whose keys and values pass checks of their own."""
    return lambda value: (
        isinstance(value, dict) and all(keys(key) and values(inner) for key, inner in value.items())
    )


def any_of(*checks: Check) -> Check:
    """Return a check for what passes one of some checks."""
    return lambda value: any(check(value) for check in checks)


def keys_of(**listed: Check) -> Check:
    """Return a check for objects that hold no other keys than those listed."""
    return lambda value: (
        isinstance(value, dict)
        and all(key in listed and listed[key](inner) for key, inner in value.items())
    )
