"""A log in the long form, in any order, becomes searches with their results and events.

DuckDB joins, sorts and, where memory does not suffice, spills to disk.
"""

import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.event_weight import EventWeight
from hooktune.contract.log_source import Findings
from hooktune.contract.long_form import MAX_NAME_LENGTH, MAX_POSITION, LogPart
from hooktune.data.assembly import Leftovers
from hooktune.data.cleaning import (
    EVENTS,
    KEPT,
    LOST_EVENTS,
    LOST_SESSIONS,
    RESULT,
    RULES,
    STATED,
    Rule,
    rule_of,
)
from hooktune.data.cleaning_rules import CleaningRules, joining, refusing, told
from hooktune.data.manifest import Keepable
from hooktune.data.session_block import SessionBlock, block_of_part
from hooktune.errors import DataError, HooktuneError, in_words
from hooktune.progress import track

_MEMORY: Final = "900MB"
_COLUMN_OF: Final[dict[Keepable, str]] = {"times": "time", "users": "user"}
_ROWS_AT_ONCE: Final = 1 << 17
_SHOWN_ROW: Final = (
    "row_file INTEGER, line BIGINT, search_id VARCHAR, query VARCHAR, item VARCHAR, "
    'position BIGINT, rank DOUBLE, time TIMESTAMPTZ, "user" VARCHAR, application VARCHAR, '
    "sorting VARCHAR, filters VARCHAR, is_returned BOOLEAN, labels VARCHAR"
)
_HAPPENED_ROW: Final = (
    "row_file INTEGER, line BIGINT, search_id VARCHAR, item VARCHAR, kind VARCHAR, "
    "time TIMESTAMPTZ, value DOUBLE"
)


def session_blocks(
    parts: Iterable[LogPart],
    findings: Findings,
    counted: Sequence[EventWeight],
    leftovers: Leftovers,
    rules: CleaningRules | None = None,
    keep: Collection[Keepable] = (),
    *,
    has_labels: bool = False,
) -> Iterator[SessionBlock]:
    """Turn the long form of a log into sessions.

    Parts that hold whole searches are handed on as they come. All others are gathered, joined and
    cleaned; what is set aside is counted.

    Args:
        parts: What a reader gave.
        findings: Takes what is counted.
        counted: Which events count, as `counted_events` gives it.
        leftovers: Takes what is left over.
        rules: Which searches are set aside or joined.
        keep: What of a session is wanted beside its results.
        has_labels: Whether its labels are.

    Raises:
        DataError: A part holds what cannot be, such as a position that is none.
        HooktuneError: The disk is full.
    """
    rules = rules or CleaningRules()
    files: list[str] = []
    with ExitStack() as opened:
        database: duckdb.DuckDBPyConnection | None = None
        for part in parts:
            if part.is_whole and not rules.is_asked:
                yield block_of_part(part)
                continue
            # Only now, as a log of whole searches needs no disk.
            database = database or opened.enter_context(_database())
            if part.file not in files:
                files.append(part.file)
            _check(part)
            _insert(database, part, files.index(part.file))
        if database is not None:
            _clean(database, files, findings, counted, rules)
            leftovers.sessions.update(dict(database.execute(LOST_SESSIONS).fetchall()))
            for kind, rule, number in database.execute(LOST_EVENTS).fetchall():
                leftovers.events[kind, rule] += number
            wanted = [_COLUMN_OF[name] for name in keep] + ["labels"] * has_labels
            yield from _in_order(database, wanted)


@contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory(prefix="hooktune-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": _MEMORY,
            "temp_directory": folder,
            "autoinstall_known_extensions": False,
        }
        with duckdb.connect(":memory:", config=settings) as database:
            database.execute("SET TimeZone = 'UTC'")
            database.execute(f"CREATE TABLE shown ({_SHOWN_ROW})")
            database.execute(f"CREATE TABLE happened ({_HAPPENED_ROW})")
            try:
                yield database
            except duckdb.Error as error:
                raise HooktuneError(f"The log cannot be joined: {in_words(error)}") from error


def _check(part: LogPart) -> None:
    """Refuse what no log can hold; a reader should have done so before, and named the field."""
    for table, names in (
        (part.shown, ("search_id", "item")),
        (part.happened, ("search_id", "item", "kind")),
    ):
        for name in names:
            lengths = pc.binary_length(table[name].cast(pa.string()))
            _refuse(part, table, name, pc.equal(lengths, 0), "is empty")
            _refuse(part, table, name, pc.greater(lengths, 4 * MAX_NAME_LENGTH), "is too long")
    _refuse(part, part.shown, "search_id", part.shown["search_id"].is_null(), "is missing")
    _refuse(part, part.happened, "kind", part.happened["kind"].is_null(), "is missing")
    position, rank = part.shown["position"], part.shown["rank"]
    _refuse(part, part.shown, "position", pc.less(position, 0), "is below 0")
    _refuse(
        part, part.shown, "position", pc.greater(position, MAX_POSITION), f"is above {MAX_POSITION}"
    )
    _refuse(part, part.shown, "rank", pc.invert(pc.is_finite(rank)), "is not finite")
    query = part.shown["query"].cast(pa.string())
    _refuse(part, part.shown, "query", pc.equal(pc.utf8_trim_whitespace(query), ""), "is blank")


def _refuse(part: LogPart, table: pa.Table, field: str, is_wrong: pa.Array, what: str) -> None:
    wrong = pc.index(is_wrong, True).as_py()
    if wrong >= 0:
        line = table["line"][wrong].as_py()
        where = part.file if line is None else f"{part.file}, line {line}"
        raise DataError(f"{where}: the {field.replace('_', ' ')} {what}. Mend it or take it out.")


def _insert(database: duckdb.DuckDBPyConnection, part: LogPart, file: int) -> None:
    """Add the rows of a part to the tables of the database."""
    for name, table in (("shown", part.shown), ("happened", part.happened)):
        if len(table):
            columns = [row[0] for row in database.execute(f"DESCRIBE {name}").fetchall()]
            values = ", ".join(f'"{name}"' for name in columns[1:]).replace(
                '"is_returned"', "coalesce(is_returned, false)"
            )
            database.register("part", table)
            database.execute(f"INSERT INTO {name} SELECT {file}, {values} FROM part")
            database.unregister("part")


def _clean(
    database: duckdb.DuckDBPyConnection,
    files: list[str],
    findings: Findings,
    counted: Sequence[EventWeight],
    rules: CleaningRules,
) -> None:
    """Join and clean what was gathered, and count what is set aside."""
    database.execute(rule_of(counted))
    database.execute("CREATE TABLE files (place INTEGER, name VARCHAR)")
    database.executemany("INSERT INTO files VALUES (?, ?)", [*enumerate(files)])
    for step in STATED:
        database.execute(step)
    _refuse_rules_without_users(database, rules)
    all_rules = (*RULES, *told(rules))
    found = {rule: _ask(database, rule) for rule in all_rules if rule.is_of_log}
    steps = (*joining(rules), *EVENTS, *refusing(rules), *KEPT)
    for step in track(steps, [1] * len(steps), "joining and cleaning the log"):
        database.execute(step)
    for rule in track(all_rules, [1] * len(all_rules), "counting what is in the log"):
        number, examples = found[rule] if rule in found else _ask(database, rule)
        if number or rule.is_always_told:
            shown = () if rule.is_always_told else tuple(examples or ())
            findings.count(rule.what, number, shown)


def _refuse_rules_without_users(database: duckdb.DuckDBPyConnection, rules: CleaningRules) -> None:
    """Refuse rules that a log has no columns for."""
    users, times = database.execute(
        'SELECT count("user"), count(time) FILTER ("user" IS NOT NULL) FROM searches'
    ).fetchall()[0]
    if not users and (rules.limits_users or rules.join_within):
        raise DataError("The log states no users, so that no rule about them can be kept.")
    if not times and rules.join_within:
        raise DataError("The log states no times of searches, so that none can be joined by them.")


def _ask(database: duckdb.DuckDBPyConnection, rule: Rule) -> tuple[int, list[str] | None]:
    """Return how much a rule found, and examples."""
    number, examples = database.execute(rule.query).fetchall()[0]
    return number, examples


def _in_order(
    database: duckdb.DuckDBPyConnection, wanted: Collection[str]
) -> Iterator[SessionBlock]:
    rest: pa.Table | None = None
    columns = ", ".join((*RESULT, *(f'"{name}"' for name in wanted)))
    relation = database.sql(f"SELECT {columns} FROM sessions ORDER BY search_id, position")
    assert relation is not None
    for rows in relation.to_arrow_reader(_ROWS_AT_ONCE):
        table = pa.Table.from_batches([rows])
        table = table if rest is None else pa.concat_tables([rest, table]).combine_chunks()
        # The last search may go on in the next rows.
        ids = table["search_id"]
        start = pc.index(ids, ids[-1]).as_py() if len(ids) else 0
        rest = table.slice(start)
        if start:
            yield _block(table.slice(0, start))
    if rest is not None and len(rest):
        yield _block(rest)


def _block(table: pa.Table) -> SessionBlock:
    """Return rows of results, ordered by session and position, as sessions."""
    lists = table["events"].combine_chunks()
    events = lists.flatten()
    ids = table["search_id"].combine_chunks().dictionary_encode()
    items = table["item"].combine_chunks()
    row = pa.array(np.repeat(np.arange(len(table)), lists.value_lengths().fill_null(0).to_numpy()))
    names = {"query", "position", "rank", "time", "user", "labels"} & {*table.column_names}
    shown = {name: table[name] for name in names}
    happened = {"search_id": ids.take(row), "item": items.take(row)} | {
        name: events.field(name) for name in ("kind", "value")
    }
    return block_of_part(
        LogPart.of("", {"search_id": ids, "item": items, **shown}, happened, is_whole=True)
    )
