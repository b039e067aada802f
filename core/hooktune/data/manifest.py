"""What a batch folder says about itself: its id, what it holds, and what became of the log."""

import json
from pathlib import Path
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, ValidationError

from hooktune._version import __version__
from hooktune.contract.files import check_is_no_pipe
from hooktune.contract.json_lines import explain
from hooktune.contract.log_source import Finding
from hooktune.data.position_bias import PositionBias
from hooktune.errors import DataError
from hooktune.plain_text import printable

FORMAT_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.json"

_MOST_BYTES: Final = 1 << 24


Keepable = Literal["times", "users"]
"""What a batch may keep of its sessions beside their results."""


Catalogue = Literal["shown", "all"]
"""Which items a batch holds: those that its sessions show, or all that there are."""


class BatchCounts(BaseModel):
    """How much of everything a batch holds."""

    model_config = ConfigDict(frozen=True)

    sessions: NonNegativeInt
    not_irrelevant: NonNegativeInt
    irrelevant: NonNegativeInt
    queries: NonNegativeInt
    """Distinct queries."""
    items: NonNegativeInt
    results: NonNegativeInt
    clicks: NonNegativeInt


class ImageCounts(BaseModel):
    """How many of a batch's queries and items are images."""

    model_config = ConfigDict(frozen=True)

    queries: NonNegativeInt
    items: NonNegativeInt


class EventCount(BaseModel):
    """How many events of one kind the log has, and whether they count as clicks."""

    model_config = ConfigDict(frozen=True)

    kind: str
    """Empty for all events whose kind the log does not state as a text or a whole number."""
    count: int
    is_click: bool
    weight: float | None = None
    """What one of them is worth; None where all that count are worth the same."""
    at_least: float | None = None
    """The value that they have at least, by which they count; None where it plays no part."""

    @property
    def in_words(self) -> str:
        """How many there are, of what, and what became of them."""
        fate = "counted as clicks" if self.is_click else "not counted"
        if self.weight is not None:
            fate = f"counted with the weight {self.weight:g}"
        value = "" if self.at_least is None else f" with a value of at least {self.at_least:g}"
        return f"{self.count} x {self.kind or 'without a name'}{value} ({fate})"


class LabelCounts(BaseModel):
    """What sessions state of a label, such as their market."""

    model_config = ConfigDict(frozen=True)

    name: str
    values: NonNegativeInt
    """How many different ones there are."""
    sessions: NonNegativeInt
    """How many sessions state one."""
    most_frequent: tuple[tuple[str, NonNegativeInt], ...]
    """The ten most frequent values, each with its number of sessions."""

    @property
    def in_words(self) -> str:
        """Which values there are."""
        told = [f"{value} {number}" for value, number in self.most_frequent]
        if (others := self.values - len(told)) > 0:
            rest = self.sessions - sum(number for _, number in self.most_frequent)
            told.append(f"{others} others {rest}")
        return f"{self.name}: {', '.join(told)}"


class BatchManifest(BaseModel):
    """What a batch folder says about itself."""

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = FORMAT_VERSION
    batch_id: str
    counts: BatchCounts
    clicks_by_position: tuple[int, ...]
    """How many clicks fell on the first shown position, the second, and so on."""
    columns: tuple[Literal["weights", "times", "users"], ...] = ()
    """What each session holds beyond what all batches do."""
    labels: tuple[LabelCounts, ...] = ()
    """What is kept of each session beside, by their names' order."""
    clicked_results: int | None = None
    """How many results have a click; None in a batch of a version that did not count them."""
    events: tuple[EventCount, ...] | None = None
    """All events of the log by kind, those in set aside sessions too; None where not counted."""
    set_aside: dict[str, int]
    """What of the log is not in the batch: how many sessions or results for each reason."""
    position_bias: PositionBias | None = None
    """How likely each position is looked at; None in a batch of a version that did not ask. It is
    no part of the batch's id."""
    images: ImageCounts | None = None
    """What of it is an image; None where nothing is."""
    found: tuple[Finding, ...] = ()
    """What was counted while the log was read and cleaned, with examples."""
    log_file: str
    log_format: str = "embedding-studio"
    """The name of the reader."""
    items_file: str
    text_template: str
    catalogue: Literal["shown", "all"] = "shown"
    """Which items it holds: those that its sessions show, or all that there were."""
    released_at: AwareDatetime
    hooktune_version: str = __version__

    def __repr__(self) -> str:
        counts = self.counts
        return (
            f"<BatchManifest {self.batch_id}: {counts.sessions} sessions, "
            f"{counts.not_irrelevant} of them not irrelevant, {counts.results} results, "
            f"{counts.clicks} clicks, {counts.items} items>"
        )

    __str__ = __repr__

    @property
    def warning(self) -> str | None:
        """What makes one doubt that the right events count as clicks; None where nothing does."""
        counts = self.counts
        advice = "Name the kinds that do by `--click-event` (`click_events` in Python)."
        if not counts.clicks and self.events:
            kinds = ", ".join(repr(event.kind) for event in self.events)
            return f"No event of the log is a click of the batch; its kinds are {kinds}. {advice}"
        if self.clicked_results is None:
            clicked, said = counts.clicks, f"{counts.clicks} clicks on {counts.results} results"
        else:
            clicked, said = self.clicked_results, f"{self.clicked_results} of {counts.results}"
        if 2 * clicked <= counts.results:
            return None
        return (
            f"More than half of all shown results are clicked ({said}). "
            f"Perhaps not every event that counts is a click. {advice}"
        )


def read_manifest(folder: str | Path) -> BatchManifest:
    """Read what a batch folder says about itself, without checking its content.

    Raises:
        DataError: The folder is no batch folder, or one of another hooktune version.
    """
    folder = Path(folder)
    path = folder / MANIFEST_FILE
    try:
        is_folder, exists = folder.is_dir(), folder.exists()
    except OSError as error:
        raise DataError(f"{folder} cannot be a batch folder: {error.strerror}.") from None
    if not is_folder:
        what = "is not a folder" if exists else "does not exist"
        raise DataError(f"{folder} {what}. Name a folder that `hooktune batch release` made.")
    try:
        check_is_no_pipe(path)
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path} is damaged: it is too large. Release the log again.")
        content = path.read_text(encoding="utf-8")
        version = json.loads(content).get("format_version")
    except FileNotFoundError:
        raise DataError(
            f"{folder} holds no {MANIFEST_FILE}, so it is not a released batch. "
            "Name a folder that `hooktune batch release` made."
        ) from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is damaged: {error}. Release the log again.") from None
    if version != FORMAT_VERSION:
        raise DataError(
            f"{folder} has the batch format {printable(repr(version), 40)}, and "
            f"hooktune {__version__} reads format {FORMAT_VERSION}. "
            "Release the log again, or use the hooktune that released it."
        )
    try:
        return BatchManifest.model_validate_json(content)
    except ValidationError as error:
        raise DataError(f"{path} is damaged: {explain(error)} Release the log again.") from None
