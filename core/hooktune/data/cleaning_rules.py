"""Rules that a user may ask for: which searches of a log are set aside, and which are one.

What they would catch is counted whether or not they are asked for.
"""

from dataclasses import dataclass
from typing import Final

from hooktune.data.cleaning import Rule, searches_in
from hooktune.errors import RequestError

_MOST_PER_HOUR: Final = 300
_REPEATED_WITHIN: Final = 10.0
_MOST_SECONDS: Final = 86_400.0


@dataclass(frozen=True)
class CleaningRules:
    """Which searches of a log are set aside whole, and which are joined.

    Args:
        max_searches_per_hour: All searches of a user who has more of them in any hour of the clock
            are set aside, as those of a bot; None for no such rule. Where the log states no times,
            all of it is one hour.
        max_clicks_per_hour: The same of clicks.
        join_within: Searches of one user for one query that come at most so many seconds after
            each other become one; None where they stay several.
        set_aside_sorted: Whether searches whose results a user had sorted are set aside.
        set_aside_filtered: Whether those whose results a user had filtered are.

    Raises:
        RequestError: A number is out of its bounds.
    """

    max_searches_per_hour: int | None = None
    max_clicks_per_hour: int | None = None
    join_within: float | None = None
    set_aside_sorted: bool = False
    set_aside_filtered: bool = False

    def __post_init__(self) -> None:
        for what, most in (
            ("searches", self.max_searches_per_hour),
            ("clicks", self.max_clicks_per_hour),
        ):
            if most is not None and most < 1:
                raise RequestError(f"A user may have 1 of the {what} in an hour at least.")
        if self.join_within is not None and not 0 < self.join_within <= _MOST_SECONDS:
            raise RequestError(
                f"Searches can be joined within up to {_MOST_SECONDS:.0f} seconds, and not within "
                f"{self.join_within:g}."
            )

    @property
    def limits_users(self) -> bool:
        """Whether a user may have only so many searches or clicks."""
        return self.max_searches_per_hour is not None or self.max_clicks_per_hour is not None

    @property
    def is_asked(self) -> bool:
        """Whether any of the rules holds."""
        return self != CleaningRules()


def joining(rules: CleaningRules) -> tuple[str, ...]:
    """Return the steps that find searches that repeat others, and join them if asked for.

    They follow the table `searches`, and count how busy each user is before anything is joined.
    """
    seconds = rules.join_within or _REPEATED_WITHIN
    found = (
        """CREATE TABLE busy AS
        SELECT "user", date_trunc('hour', time) AS hour, count(*) AS searches
        FROM searches WHERE "user" IS NOT NULL GROUP BY ALL""",
        """CREATE TABLE refined AS
        SELECT search_id, arg_min(sorting, rowid) AS sorting, arg_min(filters, rowid) AS filters
        FROM shown WHERE sorting IS NOT NULL OR filters IS NOT NULL GROUP BY search_id""",
        f"""CREATE TABLE repeats AS
        SELECT search_id, into_id FROM (
            SELECT search_id, first_value(search_id) OVER (
                PARTITION BY "user", asked, moment ORDER BY time, search_id) AS into_id
            FROM (
                SELECT *, sum(is_new::INTEGER) OVER (
                    PARTITION BY "user", asked ORDER BY time, search_id) AS moment
                FROM (
                    SELECT search_id, "user", asked, time,
                        coalesce(epoch_us(time) - lag(epoch_us(time)) OVER (
                            PARTITION BY "user", asked ORDER BY time, search_id
                        ) > {round(seconds * 1e6)}, true) AS is_new
                    FROM (
                        SELECT *, (lower(query), sorting, filters) AS asked
                        FROM searches LEFT JOIN refined USING (search_id)
                    ) WHERE "user" IS NOT NULL AND time IS NOT NULL
                )
            )
        ) WHERE into_id <> search_id""",
    )
    if rules.join_within is None:
        return found
    return (
        *found,
        *(
            f"""UPDATE {table} SET search_id = into_id FROM repeats
            WHERE {table}.search_id = repeats.search_id"""
            for table in ("shown", "happened")
        ),
        "DELETE FROM searches WHERE search_id IN (SELECT search_id FROM repeats)",
    )


def refusing(rules: CleaningRules) -> tuple[str, ...]:
    """Return the steps that make `floods`, of users, and `refused`, of searches and why.

    They follow the table `events`.
    """
    most_searches, most_clicks = _most(rules)
    reasons = (
        (rules.limits_users, '"user" IN (SELECT "user" FROM floods)',
         "session of a user with too many searches or clicks in an hour"),
        (rules.set_aside_sorted, "sorting IS NOT NULL", "session whose results were sorted"),
        (rules.set_aside_filtered, "filters IS NOT NULL", "session whose results were filtered"),
    )  # fmt: skip
    cases = "".join(f" WHEN {when} THEN '{why}'" for is_asked, when, why in reasons if is_asked)
    why = f"CASE{cases} END" if cases else "NULL::VARCHAR"
    return (
        f"""CREATE TABLE floods AS
        SELECT "user", max(searches) AS searches, max(clicks) AS clicks FROM (
            SELECT "user", searches, 0 AS clicks FROM busy
            UNION ALL
            SELECT "user", 0, count(*)
            FROM events JOIN searches USING (search_id)
            WHERE is_click AND NOT is_repeated AND "user" IS NOT NULL
            GROUP BY "user", date_trunc('hour', coalesce(events.time, searches.time))
        ) GROUP BY "user" HAVING max(searches) > {most_searches} OR max(clicks) > {most_clicks}""",
        f"""CREATE TABLE refused AS
        SELECT * FROM (
            SELECT search_id, {why} AS why FROM searches LEFT JOIN refined USING (search_id)
        ) WHERE why IS NOT NULL""",
    )


def told(rules: CleaningRules) -> tuple[Rule, ...]:
    """Return what is counted of that, in words that say what became of it."""
    seconds = rules.join_within or _REPEATED_WITHIN
    most_searches, most_clicks = _most(rules)
    bounds = (
        (most_searches, "searches", rules.max_searches_per_hour),
        (most_clicks, "clicks", rules.max_clicks_per_hour),
    )
    said = " or ".join(
        f"{most} {what}" for most, what, asked in bounds if asked or not rules.limits_users
    )
    return (
        Rule(
            f"searches that repeat the one before of their user within {seconds:g} seconds"
            + (", joined to it" if rules.join_within else ""),
            "SELECT NULL::INTEGER AS row_file, NULL::BIGINT AS line, "
            "'the search ' || search_id || ', as ' || into_id AS said FROM repeats",
        ),
        Rule(
            f"users with more than {said} in an hour"
            + (", set aside with all of their searches" if rules.limits_users else ""),
            """SELECT NULL::INTEGER AS row_file, NULL::BIGINT AS line, 'the user ' || "user" || ': '
            || searches || ' searches, ' || clicks || ' clicks in an hour' AS said FROM floods""",
        ),
        Rule(
            "searches whose results were sorted" + _fate(rules.set_aside_sorted),
            searches_in("SEMI JOIN (FROM refined WHERE sorting IS NOT NULL) USING (search_id)"),
        ),
        Rule(
            "searches whose results were filtered" + _fate(rules.set_aside_filtered),
            searches_in("SEMI JOIN (FROM refined WHERE filters IS NOT NULL) USING (search_id)"),
        ),
    )


def _fate(is_set_aside: bool) -> str:
    return ", set aside" if is_set_aside else ""


def _most(rules: CleaningRules) -> tuple[int, int]:
    """Return how many searches and clicks a user may have; all of what is not limited."""
    if not rules.limits_users:
        return _MOST_PER_HOUR, _MOST_PER_HOUR
    unlimited = 1 << 60
    return rules.max_searches_per_hour or unlimited, rules.max_clicks_per_hour or unlimited
