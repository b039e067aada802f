"""Times as logs state them: ISO 8601 texts, and seconds, milli- or microseconds since 1970."""

from datetime import UTC, datetime
from typing import Any, Final

# What a number of seconds, of milliseconds and of microseconds is below: the year 5138.
_SECONDS: Final = 100_000_000_000
_UNITS: Final = ((_SECONDS, 1_000_000), (1_000 * _SECONDS, 1_000), (1_000_000 * _SECONDS, 1))

TEXT: Final = "times as text"
WITHOUT_ZONE: Final = "times without a zone, taken as UTC"
NUMBER: Final = "times as a number since 1970"


def parse_time(stated: Any) -> tuple[int | None, str]:
    """Return a time in microseconds since 1970, and in which form it was stated.

    Args:
        stated: A text or a number; None and blank texts are no time.

    Raises:
        ValueError: It is neither.
    """
    if stated is None or stated == "":
        return None, ""
    if isinstance(stated, str) and not stated.lstrip("-").replace(".", "", 1).isdigit():
        moment = datetime.fromisoformat(stated.strip())
        form = TEXT if moment.tzinfo else WITHOUT_ZONE
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds, form
    if isinstance(stated, bool):
        raise ValueError("a yes or no")
    number = float(stated)
    for limit, factor in _UNITS:
        if abs(number) < limit:
            return round(number * factor), NUMBER
    raise ValueError("a number of no known unit")
