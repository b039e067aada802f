"""A log of any format that has a reader becomes a batch."""

import json
import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal

from hooktune.contract.event_weight import EventWeight
from hooktune.contract.files import find_files
from hooktune.contract.log_source import Findings, LogSource
from hooktune.data.cleaning_rules import CleaningRules
from hooktune.data.labels import checked_names
from hooktune.data.log_schema import CLICK
from hooktune.data.manifest import BatchManifest
from hooktune.data.release import Log, release_log
from hooktune.errors import RequestError
from hooktune.plugin.log_readers import choose_reader

logger = logging.getLogger(__name__)


def release_batch(
    log: str | Path | Iterable[str | Path],
    items: str | Path,
    to: str | Path,
    *,
    text: str = "{text}",
    click_events: Collection[str] = (CLICK,),
    event_weights: Iterable[EventWeight] = (),
    format: str | None = None,  # noqa: A002 - what everybody calls it
    columns: Mapping[str, str] | None = None,
    sql: str | None = None,
    tolerate: float = 0.0,
    min_results: int = 1,
    cleaning: CleaningRules | None = None,
    keep: Collection[Literal["times", "users"]] = (),
    labels: Collection[str] = (),
    items_sql: str | None = None,
    catalogue: Literal["shown", "all"] = "shown",
    image: str | None = None,
    image_queries: bool = False,
    block: Iterable[str] = (),
) -> BatchManifest:
    """Check a log and its items and write them as a batch folder that is never changed again.

    Results whose items are unknown and results repeated within a session are set aside and
    counted. A session that loses a click in this way, or all of its results, is set aside whole:
    without its click it would pass for one in which nothing was found relevant.

    Args:
        log: The files: paths, patterns, or addresses such as `s3://bucket/clicks-*.jsonl.gz`.
        items: The items: one JSON object a line, or a table with a row each, as Parquet, CSV, TSV,
            Arrow, DuckDB or SQLite, told by its ending.
        to: The folder to make. If it holds the very same batch already, nothing is done.
        text: How an item's text is made of its fields, such as `{title}. {text}`.
        click_events: The kinds of event that count as clicks; the others are counted and told in
            the manifest, and have no other effect. An event for which the log states no kind is
            of the kind `click`.
        event_weights: What events are worth, such as `[EventWeight("purchase", 5)]`; they count
            besides clicks, which are worth 1 unless they are named here. A result is worth what
            the weightiest event on it is.
        format: The name of the reader, such as `ubi`; by default the one that recognises the log.
        columns: For fields of a table, such as `query`, the columns that hold them.
        sql: The query to be asked, where `log` is a database.
        tolerate: The share of lines that may be set aside because they cannot be used.
        min_results: How many results a session has at least.
        cleaning: Which searches are set aside, as those of bots, and which are joined.
        items_sql: The query to be asked, where `items` is a database.
        catalogue: Which items the batch holds: those that its sessions show, or all of them, so
            that retrieval over everything can be measured.
        image: The field of the items that holds an image: a path, an address, or the bytes of its
            file. An item whose field is empty is its text.
        image_queries: Whether a query that names the file of an image, by a path or an address,
            is that image.
        keep: What of a session is kept beside its results, to split by.
        labels: Fields of the log, such as `market`, that are kept of each search, so that runs are
            compared for each of their values. `columns` may say that a label is another field, and
            dots stand between the names of a field and of one in it.
        block: Readers that must not be imported.

    Returns:
        What the folder says about itself; a warning is logged where its clicks are in doubt.

    Raises:
        DataError: One of the files cannot be used, or nothing of the log is left.
        RequestError: `to` exists and is something else, there is no such format, or no kind of
            event counts as a click.
    """
    if not 0 <= tolerate < 1:
        raise RequestError(f"A share from 0 to below 1 may be tolerated, and this is {tolerate}.")
    labels = checked_names(labels)
    source = _source(log, columns or {}, sql, Findings(tolerate), labels)
    reader = choose_reader(source, format, block)
    name = ", ".join(source.files[:3]) + (" and more" if len(source.files) > 3 else "")
    if reader.why:
        logger.info("%s is read as %s: %s.", name, reader.plugin.name, reader.why)
    opened = Log(name, reader.plugin.name, reader.read(source), source.findings)
    return release_log(
        opened,
        items,
        to,
        text=text,
        click_events=click_events,
        event_weights=event_weights,
        min_results=min_results,
        cleaning=cleaning,
        keep=keep,
        labels=labels,
        items_sql=items_sql,
        catalogue=catalogue,
        image=image,
        image_queries=source.files[0] if image_queries else None,
    )


def write_guess(
    log: str | Path | Iterable[str | Path],
    *,
    format: str | None = None,  # noqa: A002 - what everybody calls it
    columns: Mapping[str, str] | None = None,
    sql: str | None = None,
    block: Iterable[str] = (),
) -> Path:
    """Write a first guess of which columns of a log hold what into a TOML file beside it.

    Args:
        log: The log, as `release_batch` takes it.
        format: The name of the reader; by default the one that recognises the log.
        columns: The columns that are known already.
        sql: The query to be asked, where `log` is a database.
        block: Readers that must not be imported.

    Returns:
        The file.

    Raises:
        RequestError: The file is there already or cannot be written, or the log has no columns.
    """
    source = _source(log, columns or {}, sql, Findings())
    guessed = choose_reader(source, format, block).guess(source)
    path = Path(f"{source.files[0]}.toml")
    lines = [
        f"{'' if name else '# '}{field} = {json.dumps(name)}" for field, name in guessed.items()
    ]
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write("\n".join(["[columns]", *lines, ""]))
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}.") from None
    return path


def _source(
    log: str | Path | Iterable[str | Path],
    columns: Mapping[str, str],
    sql: str | None,
    findings: Findings,
    labels: tuple[str, ...] = (),
) -> LogSource:
    named = [str(log)] if isinstance(log, str | Path) else [str(each) for each in log]
    if not named:
        raise RequestError("No log is named. Name its files.")
    files = (named[0],) if sql is not None else find_files(named)
    return LogSource(files, columns, sql, findings, labels)
