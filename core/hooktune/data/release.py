"""Releasing a log as an immutable batch folder, and opening such a folder."""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from hooktune.contract.event_weight import EventWeight, counted_events
from hooktune.contract.log_source import BAD_ITEMS, Finding, Findings
from hooktune.contract.long_form import LogPart
from hooktune.contract.sessions import Batch, Sessions
from hooktune.data.assembly import Leftovers, LogColumns, describe_set_aside
from hooktune.data.cleaning_rules import CleaningRules
from hooktune.data.content import (
    clicks_by_position,
    content_id,
    counts_of,
    first_fault,
    images_of,
)
from hooktune.data.examination import smoothed
from hooktune.data.grouping import session_blocks
from hooktune.data.image_fields import with_image_queries
from hooktune.data.items import read_items
from hooktune.data.labels import LabelTexts, label_counts
from hooktune.data.log_schema import CLICK
from hooktune.data.manifest import (
    MANIFEST_FILE,
    BatchManifest,
    Catalogue,
    EventCount,
    Keepable,
    read_manifest,
)
from hooktune.data.parquet import changed_since_release, columns_of, read_tables, write_tables
from hooktune.data.position_bias import position_bias
from hooktune.data.tables import plain_database
from hooktune.data.whole_folder import whole_folder
from hooktune.errors import DataError, RequestError
from hooktune.progress import phase

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Log:
    """A log that is being read."""

    name: str
    """Where it lies, for messages."""
    format: str
    """The name of its reader."""
    parts: Iterable[LogPart]
    """The long form."""
    findings: Findings
    """What is counted while it is read."""


def release_log(
    log: Log,
    items: str | Path,
    to: str | Path,
    *,
    text: str = "{text}",
    click_events: Collection[str] = (CLICK,),
    event_weights: Iterable[EventWeight] = (),
    min_results: int = 1,
    cleaning: CleaningRules | None = None,
    keep: Collection[Keepable] = (),
    labels: Collection[str] = (),
    items_sql: str | None = None,
    catalogue: Catalogue = "shown",
    image: str | None = None,
    image_queries: str | None = None,
) -> BatchManifest:
    """Write what was read of a log and its items as a batch folder; see `release_batch`.

    `image_queries` is the file beside which the images of queries lie.
    """
    to = Path(to)
    counted = counted_events(click_events, event_weights)
    _refuse_other(to)
    columns = LogColumns(
        counted=counted,
        min_results=min_results,
        keep=keep,
        catalogue=catalogue,
        labels=LabelTexts(tuple(labels), log.findings.fields),
    )
    leftovers = Leftovers()
    with phase("reading the log"):
        blocks = session_blocks(
            log.parts, log.findings, counted, leftovers, cleaning, keep, has_labels=bool(labels)
        )
        for block in blocks:
            columns.add_block(with_image_queries(block, log.findings, image_queries))
    log.findings.check_tolerance()
    columns.add_leftovers(leftovers)
    of_items = Findings(log.findings.tolerated, BAD_ITEMS)
    is_wanted = None if image is None else columns.is_wanted()
    columns.add_items(read_items(items, text, items_sql, image, of_items, is_wanted))
    of_items.check_tolerance()
    sessions, object_ids, set_aside = columns.usable_sessions()
    if not len(sessions):
        raise DataError(
            f"Nothing is left of {log.name} to release: {describe_set_aside(set_aside)}. "
            f"{items} is perhaps not the items file of this log."
        )
    return write_batch(
        sessions,
        object_ids,
        to,
        About(
            events=columns.event_counts(),
            set_aside=set_aside,
            found=(*log.findings.all(), *of_items.all()),
            log_file=Path(log.name).name,
            log_format=log.format,
            items_file=Path(plain_database(str(items))).name,
            text_template=text,
            catalogue=catalogue,
        ),
    )


@dataclass(frozen=True)
class About:
    """Where a batch comes from, as its manifest says it."""

    events: tuple[EventCount, ...] | None
    set_aside: dict[str, int]
    found: tuple[Finding, ...]
    log_file: str
    log_format: str
    items_file: str
    text_template: str
    catalogue: Catalogue


def write_batch(
    sessions: Sessions, object_ids: pa.LargeStringArray, to: Path, about: About
) -> BatchManifest:
    """Write sessions and items, in their canonical order, as a batch folder.

    If the folder holds the very same batch already, nothing is done.

    Raises:
        RequestError: It exists and is something else, or cannot be written.
    """
    _refuse_other(to)
    batch = Batch(content_id(sessions, object_ids), sessions, object_ids)
    if to.exists():
        manifest = _same_batch(to, batch.batch_id)
    else:
        with phase("estimating the position bias"):
            bias = position_bias(sessions)
        manifest = BatchManifest(
            batch_id=batch.batch_id,
            counts=counts_of(sessions),
            clicks_by_position=clicks_by_position(sessions),
            columns=columns_of(sessions),
            labels=label_counts(sessions),
            position_bias=bias,
            images=images_of(sessions),
            clicked_results=int(sessions.clicked.sum()),
            released_at=datetime.now(UTC).replace(microsecond=0),
            **vars(about),
        )
        manifest = _write(batch, manifest, to)
    if manifest.warning:
        logger.warning("%s: %s", to, manifest.warning)
    return manifest


def _refuse_other(to: Path) -> None:
    if to.exists() and not (to / MANIFEST_FILE).is_file():
        raise RequestError(f"{to} exists and is not a released batch. Name a folder to be made.")


def open_batch(folder: str | Path) -> Batch:
    """Open a batch folder and check that it still is what was released.

    Args:
        folder: A folder that `release_batch` or `hooktune batch release` made.

    Returns:
        Its sessions as columns, whose arrays cannot be written to.

    Raises:
        DataError: The folder is no batch folder, or was changed after its release.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    sessions, object_ids = read_tables(folder, manifest)
    fault = first_fault(sessions, object_ids, manifest)
    if fault is not None:
        raise changed_since_release(folder, fault)
    bias = manifest.position_bias
    if bias is not None and bias.positions:
        sessions = replace(sessions, examination=smoothed(bias))
    return Batch(manifest.batch_id, sessions, object_ids)


def _same_batch(folder: Path, batch_id: str) -> BatchManifest:
    """Return the manifest of a batch folder, or refuse to release another batch into it."""
    found = open_batch(folder).batch_id
    if found != batch_id:
        raise RequestError(
            f"{folder} holds the batch {found} already, and this log gives {batch_id}. "
            "Name another folder."
        )
    return read_manifest(folder)


def _write(batch: Batch, manifest: BatchManifest, to: Path) -> BatchManifest:
    """Write a batch folder beside its place and move it there when it is whole.

    Returns:
        The manifest of the folder, which another process may have made there meanwhile.
    """
    try:
        with whole_folder(to) as folder:
            write_tables(batch, folder)
            content = manifest.model_dump_json(indent=2) + "\n"
            (folder / MANIFEST_FILE).write_text(content, encoding="utf-8")
            for file in folder.iterdir():
                file.chmod(0o444)
    except OSError as error:
        if (to / MANIFEST_FILE).is_file():
            return _same_batch(to, batch.batch_id)
        raise RequestError(f"{to} cannot be written: {error.strerror or error}.") from error
    return manifest
