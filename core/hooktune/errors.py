"""The errors that hooktune raises on purpose.

Each message says what happened, to which plugin, session, file or run, and what to do about it.
The command line turns an error into its `exit_status`.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Final

_FULL_DISK: Final = re.compile(
    r"No space left on device|database or disk is full|Disk quota exceeded"
)
# MLflow's ways of saying that its server refused a user, and of which request.
_REFUSED: Final = re.compile(r"error code 40[13]|40[13] Client Error|PERMISSION_DENIED")
_LOOKING: Final = re.compile(r"endpoint \S*/(get|search|list)[\w-]* ")
_SHORT: Final = 300
_REFUSAL: Final = "The tracking store refuses this user the right"
_LINE_BREAK: Final = re.compile(r"\s*[\r\n]\s*")
_DOUBLE_STOP: Final = re.compile(r"(?<=[^\s.])\.\.(?=\s|$)")


class HooktuneError(Exception):
    """The work failed, though the request was a right one."""

    exit_status = 1

    def __str__(self) -> str:
        # Messages quote those of others, which end with a full stop or have several lines.
        return _DOUBLE_STOP.sub(".", one_line(super().__str__()))


class RequestError(HooktuneError):
    """The request cannot be carried out as it was made; nothing was stored."""

    exit_status = 2


class DataError(RequestError):
    """A log, an items file or a released batch cannot be used as it is."""


class StoreError(RequestError):
    """The tracking store cannot be reached or opened."""


class FailedAloneError(HooktuneError):
    """One of the processes that train together has failed and the others have not: all must end."""


class StoreAwayError(HooktuneError):
    """The tracking store went away during the work, and did not come back in time."""


class UnsafeModelError(HooktuneError):
    """A stored model holds files that could run code, and was not loaded."""


class DifferentShapesError(HooktuneError):
    """Models have no mean, as they are not made alike."""


class ClaimLostError(HooktuneError):
    """Another process took this one for dead, and took over what it was doing."""


class RunDeletedError(HooktuneError):
    """Somebody deleted a run in MLflow while it was at work."""


class PluginError(HooktuneError):
    """A plugin raised, or broke the contract of a hook, while it was at work."""


class PluginRequestError(RequestError):
    """The plugin that was asked for cannot be used."""


def reasons_of(
    error: BaseException | None, *, even_suppressed: bool = False
) -> Iterator[BaseException]:
    """Yield an error and what led to it, the last one first.

    Args:
        error: The error.
        even_suppressed: Whether that too which an error was raised `from None` of.
    """
    seen = set[int]()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        is_hidden = error.__suppress_context__ and not even_suppressed
        error = error.__cause__ or (None if is_hidden else error.__context__)


@contextmanager
def interruption_unhidden() -> Iterator[None]:
    """Let Ctrl-C be Ctrl-C, whatever is made of it.

    A library that is interrupted while it ends a transaction, say, raises an error of its own.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        reasons = reasons_of(error, even_suppressed=True)
        if any(isinstance(reason, KeyboardInterrupt) for reason in reasons):
            raise KeyboardInterrupt from error
        raise


def one_line(text: str) -> str:
    """Return a text with its lines joined by blanks."""
    return _LINE_BREAK.sub(" ", text.strip("\r\n"))


def within_sentence(text: str) -> str:
    """Return a text of others as a part of a sentence: one line, and no full stop at its end."""
    joined = one_line(text.strip())
    return joined if joined.endswith("..") else joined.removesuffix(".")


def kind_and_text(error: BaseException) -> str:
    """Return an error's kind and text, whatever its own `__str__` does."""
    try:
        text = str(error).strip()
    except Exception:
        text = "(it has no text that could be shown)"
    return f"{type(error).__name__}: {text}"


def in_words(error: BaseException) -> str:
    """Say what an error of any library is, and what to do where disk or rights do not suffice."""
    said = kind_and_text(error)
    if _FULL_DISK.search(said):
        first_line = said.splitlines()[0][:_SHORT]
        return f"No space is left on the disk. Free some and run the command again. ({first_line})"
    if _REFUSED.search(said) and _REFUSAL not in said:
        right, in_a_line = "READ" if _LOOKING.search(said) else "EDIT", " ".join(said.split())
        return (
            f"{_REFUSAL} {right}. Ask whoever manages it for "
            f"that right on hooktune's experiments and models. ({in_a_line[:_SHORT]})"
        )
    return said


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return a sentence that names the known word nearest to a wrong one, or all known words."""
    choices = sorted(known)
    folded = {choice.casefold(): choice for choice in choices}
    near = get_close_matches(wrong.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {folded[near[0]]!r}?"
    if not choices:
        return "There are none."
    return "There are: " + ", ".join(repr(choice) for choice in choices) + "."
