"""What the failure of a call to the store means: that it is away, answers nonsense, or refuses."""

import logging
import re
import time
from collections.abc import Callable
from sqlite3 import Error as SQLiteError
from typing import Final, ParamSpec, TypeVar

from hooktune.errors import HooktuneError, StoreAwayError, in_words, reasons_of

logger = logging.getLogger(__name__)

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

_PAUSES: Final = (0.5, 1.5)  # seconds

_FOR_A_WHILE: Final = (408, 429, 500, 502, 503, 504)
"""The answers after which MLflow itself would try again."""

_REFUSALS: Final = (401, 403)
_REFUSED: Final = ("UNAUTHENTICATED", "PERMISSION_DENIED")
_FILE_REFUSED: Final = re.compile(r"\b40[13] Client Error")
_NO_JSON: Final = "response body was not in a valid JSON format"
"""How MLflow says that somebody else answered in the server's place; it has no code for it."""

_DOWNLOAD: Final = "failures occurred while downloading"
"""How MLflow begins a list of what became of each file, of which it keeps the texts alone."""

_CUT: Final = re.compile("IncompleteRead|Connection broken|Response ended prematurely")

_PRIMARY_CODE: Final = 0xFF
"""What SQLite's extended codes have in common with the code that they are a kind of."""

_LOCKED: Final = (5, 6)  # SQLITE_BUSY and SQLITE_LOCKED


class NotWholeError(StoreAwayError):
    """Files are not in the store, or did not come out of it, as they should: a gateway has them."""


def is_away(error: BaseException | None) -> bool:
    """Tell whether a call failed because the store, or what it needs itself, was not there.

    A local file is always there: what fails with it, such as a full disk, will not pass by itself.
    But while another program has it locked, such as one that makes a copy of it, it is away.
    """
    from requests import exceptions as http
    from sqlalchemy.exc import InterfaceError, OperationalError

    broken = (http.ConnectionError, http.Timeout, http.RetryError, http.ChunkedEncodingError)
    for reason in reasons_of(error):
        if isinstance(reason, http.HTTPError) and reason.response is not None:
            return reason.response.status_code in _FOR_A_WHILE
        if isinstance(reason, (StoreAwayError, *broken)) or _is_nonsense(reason):
            return True
        if isinstance(reason, OperationalError | InterfaceError):
            return not isinstance(reason.orig, SQLiteError) or _is_lock(reason.orig)
    return False


def is_bad_answer(error: BaseException | None) -> bool:
    """Tell whether something came back that no store says: the page of a gateway, half a text."""
    from requests import exceptions as http

    cut = http.ChunkedEncodingError
    return any(isinstance(reason, cut) or _is_nonsense(reason) for reason in reasons_of(error))


def is_refused(error: BaseException | None) -> bool:
    """Tell whether the store says that one may not do what was asked for."""
    from requests import HTTPError

    return any(
        (isinstance(reason, HTTPError) and getattr(reason.response, "status_code", 0) in _REFUSALS)
        or getattr(reason, "error_code", None) in _REFUSED
        or (_DOWNLOAD in str(reason) and _FILE_REFUSED.search(str(reason)))
        for reason in reasons_of(error)
    )


def is_locked(error: BaseException | None) -> bool:
    """Tell whether another program has a local store for itself; nothing was written then."""
    from sqlalchemy.exc import OperationalError

    return any(
        _is_lock(reason.orig if isinstance(reason, OperationalError) else reason)
        for reason in reasons_of(error)
    )


def insist(call: Callable[Given, Answer], /, *given: Given.args, **named: Given.kwargs) -> Answer:
    """Call a store, and again where the answer was none, or a refusal, which may pass.

    Args:
        call: What may be done twice.
        given: What to call it with.
        named: The same, by name.

    Raises:
        StoreAwayError: Something else than the store answers in its place.
        HooktuneError: The store refuses it.
    """
    for pause in _PAUSES:
        try:
            return call(*given, **named)
        except Exception as error:
            if not is_bad_answer(error) and not is_refused(error):
                raise
            logger.debug("the tracking store is asked again: %s", error)
            time.sleep(pause)
    try:
        return call(*given, **named)
    except Exception as error:
        if isinstance(error, NotWholeError):
            raise
        if is_bad_answer(error):
            raise StoreAwayError(
                "What answers at the tracking store's address is not MLflow, or its answers are "
                "cut short. Check the gateways before it, and give the same command again."
            ) from error
        if is_refused(error):
            raise HooktuneError(
                f"{in_words(error)} If they have it, check the user's name and password or token."
            ) from error
        raise


def _is_nonsense(error: BaseException) -> bool:
    from requests.exceptions import JSONDecodeError

    said = str(error)
    is_cut = _DOWNLOAD in said and _CUT.search(said) is not None
    return isinstance(error, JSONDecodeError | NotWholeError) or _NO_JSON in said or is_cut


def _is_lock(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    return isinstance(error, SQLiteError) and code & _PRIMARY_CODE in _LOCKED
