"""The rules by which a log is cleaned, in SQL: what is joined, what is set aside and counted.

The steps make tables of `shown` and `happened`, the long form: `searches`, which have a query;
`results`, of which each search shows an item once; `events`; and `sessions`, what is left of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hooktune.contract.event_weight import EventWeight

# A result's place in its search: its position, and where two have one, its row in the log.
_KEY: Final = "coalesce(position, 1000000) * (1::BIGINT << 40) + place"

STATED: Final = (
    """CREATE TABLE searches AS
    SELECT search_id, arg_min(trim(query), rowid) AS query, min(time) AS time,
        arg_min("user", rowid) AS "user"
    FROM shown WHERE query IS NOT NULL GROUP BY search_id""",
    # A line for each of the texts, the first that was stated before the others.
    """CREATE TABLE labelled AS
    SELECT search_id, string_agg(labels, chr(10) ORDER BY place) AS labels FROM (
        SELECT search_id, labels, min(rowid) AS place
        FROM shown WHERE labels IS NOT NULL GROUP BY search_id, labels
    ) GROUP BY search_id""",
)
"""What is done first: the searches that are stated, and their labels."""

EVENTS: Final = (
    """CREATE TABLE origins AS
    SELECT coalesce(application, '') AS application, min(position) AS least
    FROM shown WHERE item IS NOT NULL AND NOT is_returned GROUP BY 1""",
    # What an engine returned stands for what was shown where nothing says what was.
    """CREATE TABLE unseen AS
    SELECT search_id FROM shown WHERE item IS NOT NULL
    GROUP BY search_id HAVING bool_and(is_returned)""",
    f"""CREATE TABLE results AS
    SELECT search_id, item, min(position) AS position, min({_KEY}) AS key,
        arg_min_null(rank, {_KEY}) AS rank, bool_and(is_returned) AS is_returned
    FROM (
        SELECT search_id, item, rank, is_returned, shown.rowid AS place,
            position + (NOT is_returned AND least = 0)::INTEGER AS position
        FROM shown JOIN origins ON origins.application = coalesce(shown.application, '')
        WHERE item IS NOT NULL AND NOT is_returned
        UNION ALL
        SELECT search_id, item, rank, is_returned, rowid, position
        FROM shown SEMI JOIN unseen USING (search_id) WHERE item IS NOT NULL
    ) GROUP BY search_id, item""",
    """CREATE TABLE unclear AS
    SELECT search_id, bool_or(position IS NULL) AS lacks_position FROM results
    GROUP BY search_id HAVING count(DISTINCT position) < count(*)""",
    """CREATE TABLE events AS
    SELECT happened.*, rule_of(kind, value) AS rule, rule IS NOT NULL AS is_click,
        searches.search_id IS NOT NULL AS is_known, results.item IS NOT NULL AS is_shown,
        coalesce(results.is_returned, false) AS is_returned
    FROM (
        SELECT *, time IS NOT NULL AND row_number() OVER (
            PARTITION BY search_id, item, kind, time, value ORDER BY rowid) > 1 AS is_repeated
        FROM happened
    ) AS happened
    LEFT JOIN searches USING (search_id) LEFT JOIN results USING (search_id, item)""",
)
"""What follows: the results of each search, and what happened."""

SESSION_WITH_CLICK_ON_UNSEEN: Final = "session with a click on a result that was not shown"

KEPT: Final = (
    # Without its click a search would pass for one with less, or nothing, found relevant.
    """CREATE TABLE lost AS
    SELECT DISTINCT search_id FROM events SEMI JOIN results USING (search_id)
    ANTI JOIN refused USING (search_id)
    WHERE is_click AND is_known AND item IS NOT NULL AND NOT is_shown""",
    """CREATE VIEW kept AS
    SELECT * FROM events ANTI JOIN lost USING (search_id) ANTI JOIN refused USING (search_id)
    WHERE is_known AND is_shown AND NOT is_repeated""",
    """CREATE VIEW placed AS
    SELECT search_id, item, rank, position FROM results ANTI JOIN unclear USING (search_id)
    UNION ALL
    SELECT search_id, item, rank, row_number() OVER (PARTITION BY search_id ORDER BY key)
    FROM results SEMI JOIN unclear USING (search_id)""",
    """CREATE VIEW sessions AS
    SELECT search_id, query, item, position, rank, events, time, "user", labels
    FROM searches ANTI JOIN lost USING (search_id) ANTI JOIN refused USING (search_id)
    LEFT JOIN labelled USING (search_id) LEFT JOIN placed USING (search_id)
    LEFT JOIN (
        SELECT search_id, item, list({'kind': kind, 'value': value}) AS events
        FROM kept GROUP BY search_id, item
    ) USING (search_id, item)""",
)
"""What is left, when `refused` says which searches are set aside."""

RESULT: Final = ("search_id", "query", "item", "position", "rank", "events")
"""The columns of `sessions`; beside them are `time`, `user` and `labels`, which few logs
need."""
LOST_SESSIONS: Final = f"""
    SELECT why, count(*) FROM refused GROUP BY why
    UNION ALL SELECT '{SESSION_WITH_CLICK_ON_UNSEEN}', count(*) FROM lost"""
"""How many searches are set aside, and why."""
LOST_EVENTS: Final = """
    SELECT kind, coalesce(rule, -1), sum(number)::BIGINT FROM (
        SELECT kind, rule, count(*) AS number FROM events GROUP BY kind, rule
        UNION ALL SELECT kind, rule, -count(*) FROM kept GROUP BY kind, rule
    ) GROUP BY kind, rule"""
"""How many events of each kind, and by which rule they count, no session has."""


def rule_of(counted: Sequence[EventWeight]) -> str:
    """Return the statement that tells by which of what counts an event does; null if by none."""
    cases = "".join(
        f" WHEN kind = {_quoted(each.kind)}"
        + ("" if each.at_least is None else f" AND value >= {each.at_least!r}")
        + f" THEN {place}"
        for place, each in enumerate(counted)
    )
    return f"CREATE MACRO rule_of(kind, value) AS CASE{cases} END"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Rule:
    """Something that is counted of a log, with examples."""

    what: str
    rows: str
    """A query for all of it: `row_file` and `line`, which may be null, and `said`, what stands
    there."""
    is_always_told: bool = False
    """Whether none of it is worth saying."""
    is_of_log: bool = False
    """Whether it is counted before searches are joined."""

    @property
    def query(self) -> str:
        """A query for the number, and a list of a few examples in words."""
        return f"""WITH found AS ({self.rows}) SELECT
            (SELECT count(*) FROM found),
            (SELECT list(example) FROM (
                SELECT coalesce(name || coalesce(', line ' || line, '') || ': ', '') || said
                    AS example
                FROM found LEFT JOIN files ON place = row_file
                ORDER BY row_file, line, said LIMIT 3))"""


def searches_in(condition: str) -> str:
    """Return a query for the searches whose rows of `shown` a condition picks."""
    return f"""SELECT min(row_file) AS row_file, min(line) AS line,
        'the search ' || search_id AS said
        FROM shown {condition} GROUP BY search_id"""


def _events(condition: str) -> str:
    return f"""SELECT row_file, line, kind || coalesce(' on ' || item, '')
        || coalesce(' in the search ' || search_id, '') AS said FROM events WHERE {condition}"""


_WITH_CLICK: Final = "SEMI JOIN (SELECT * FROM events WHERE is_click) USING (search_id)"
_KNOWN: Final = "SEMI JOIN searches USING (search_id)"
_SEEN: Final = "WHERE item IS NOT NULL AND NOT is_returned"
_NOT_SHOWN: Final = "item IS NOT NULL AND search_id IS NOT NULL AND (is_returned OR NOT is_shown)"

RULES: Final = (
    Rule("searches", searches_in(_KNOWN), is_always_told=True),
    Rule(
        "searches stated again",
        """SELECT row_file, line, 'the search ' || search_id AS said FROM (
            SELECT *, row_number() OVER (PARTITION BY search_id ORDER BY rowid) AS number
            FROM shown WHERE item IS NULL) WHERE number > 1""",
        is_of_log=True,
    ),
    Rule(
        "searches stated again with another query, of which the first counts",
        """SELECT min(row_file) AS row_file, max(line) AS line,
            'the search ' || search_id || ': ' || string_agg(DISTINCT query, ' / ') AS said
            FROM shown WHERE query IS NOT NULL
            GROUP BY search_id HAVING count(DISTINCT trim(query)) > 1""",
        is_of_log=True,
    ),
    Rule("searches with shown results", searches_in(_SEEN), is_always_told=True),
    Rule(
        "searches with clicks",
        "SELECT min(row_file) AS row_file, min(line) AS line, 'the search ' || search_id AS said "
        "FROM events WHERE is_click AND search_id IS NOT NULL GROUP BY search_id",
        is_always_told=True,
    ),
    Rule("searches with shown results and clicks", searches_in(f"{_WITH_CLICK} {_SEEN}"), True),
    Rule(
        "searches without a shown result",
        searches_in(
            f"{_KNOWN} ANTI JOIN (SELECT search_id FROM shown {_SEEN}) USING (search_id)"
        ),
    ),
    Rule(
        "searches without a shown result whose results are what the engine returned",
        searches_in(f"{_KNOWN} SEMI JOIN unseen USING (search_id)"),
    ),
    Rule(
        "results shown again in the same search, of which the first counts",
        """SELECT row_file, line, item || ' in the search ' || search_id AS said FROM (
            SELECT *, row_number() OVER (PARTITION BY search_id, item ORDER BY rowid) AS number
            FROM shown WHERE item IS NOT NULL AND NOT is_returned) WHERE number > 1""",
    ),
    Rule(
        "applications whose positions begin at 0",
        """SELECT row_file, line, 'the position 0' || coalesce(' of ' || application, '') AS said
            FROM (SELECT *, row_number() OVER (PARTITION BY application ORDER BY rowid) AS number
            FROM shown WHERE position = 0 AND item IS NOT NULL AND NOT is_returned)
            WHERE number = 1""",
    ),
    Rule(
        "searches with several results at one position, which are in the order of the log",
        searches_in("SEMI JOIN (FROM unclear WHERE NOT lacks_position) USING (search_id)"),
    ),
    Rule(
        "searches with results without a position, which are in the order of the log",
        searches_in("SEMI JOIN (FROM unclear WHERE lacks_position) USING (search_id)"),
    ),
    Rule("events", _events("true"), is_always_told=True),
    Rule("events without a search", _events("search_id IS NULL")),
    Rule(
        "results and events of searches that the log does not state",
        """SELECT row_file, line, item || ' in the search ' || search_id AS said
            FROM shown ANTI JOIN searches USING (search_id) WHERE item IS NOT NULL
            UNION ALL """
        + _events("search_id IS NOT NULL AND NOT is_known"),
    ),
    Rule("events without a result", _events("item IS NULL AND search_id IS NOT NULL")),
    Rule("events stated again", _events("is_repeated")),
    Rule("clicks", _events("is_click"), is_always_told=True),
    Rule("clicks on results that were not shown", _events(f"is_click AND {_NOT_SHOWN}")),
    Rule(
        "clicks on results that were not shown but returned by the engine, which count",
        _events(f"is_click AND is_returned AND {_NOT_SHOWN}"),
    ),
    Rule(
        "other events on results that were not shown", _events(f"NOT is_click AND {_NOT_SHOWN}")
    ),
)  # fmt: skip
"""What is counted, in the order in which it is told."""
