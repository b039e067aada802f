"""What could not be sent to the store of a run, kept on disk until the store is back."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from hooktune.errors import HooktuneError
from hooktune.plain_text import encodable
from hooktune.processes import FileLock, describe_process
from hooktune.tracking.records import EndStatus

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

DEFAULT_SPOOL: Final = "hooktune-spool"
DELIVERED: Final = "delivered-"
"""How the names of folders begin from which all has been delivered, and which may be removed."""
POINTS_PER_CALL: Final = 1000  # MLflow's own limit

StoredText = Annotated[str, BeforeValidator(encodable)]
"""A text of anybody's, such as the error of a plugin, in a form that every store can hold."""


class SetTags(BaseModel):
    """Tags are to be set on the run."""

    kind: Literal["tags"] = "tags"
    tags: dict[str, StoredText]


class LogText(BaseModel):
    """A text is to become an artifact of the run."""

    kind: Literal["text"] = "text"
    text: StoredText
    file: str


class LogFile(BaseModel):
    """A file is to become an artifact of the run."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    kind: Literal["file"] = "file"
    content: bytes
    file: str


class KeepIfBest(BaseModel):
    """The run's model is to be kept if it is the best of its iteration."""

    kind: Literal["model"] = "model"
    step: int


class End(BaseModel):
    """The run has ended."""

    kind: Literal["end"] = "end"
    status: EndStatus
    failure: StoredText | None
    at: int
    """Milliseconds since 1970."""


Operation = SetTags | LogText | LogFile | KeepIfBest | End
"""What is to be done to a run, beside its metric points; doing it twice is doing it once."""

_OPERATION: Final[TypeAdapter[Operation]] = TypeAdapter(
    Annotated[Operation, Field(discriminator="kind")]
)


class RunSpool:
    """The folder for what could not be sent to the store of one run.

    It is made when the first thing is put in. Whoever puts in or takes out holds it, and another
    process that delivers what is left leaves it alone meanwhile; a process that dies lets it go.

    Args:
        folder: Where it is, named by the run's id.
        store: The address of the run's store, for people to read.
    """

    def __init__(self, folder: Path, store: str = "") -> None:
        self.folder = folder
        self.run_id = folder.name
        self._store = store
        self._about = folder / "run.json"
        self._points = folder / "points.jsonl"
        self._operations = folder / "deeds.jsonl"
        self._model = folder / "model"
        self._opening = Lock()
        self._lock = FileLock(folder / "lock")
        self._delivered = 0
        self._is_described = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to be delivered."""
        return not self.has_points and not self._operations.exists()

    @property
    def has_points(self) -> bool:
        """Whether metric points are left to be delivered."""
        return self._points.exists()

    @property
    def has_model(self) -> bool:
        """Whether the run's model is here."""
        return self._model.is_dir()

    @property
    def is_held(self) -> bool:
        """Whether this object keeps other processes from delivering from here."""
        return self._lock.is_held

    @property
    def store(self) -> str:
        """The address of the store that the run belongs to, as it was recorded."""
        return self._recorded("store") or self._store

    @property
    def process(self) -> str | None:
        """The process that was at work on the run."""
        return self._recorded("process")

    def hold(self) -> bool:
        """Keep other processes from delivering from here; False where one of them does.

        Raises:
            FileNotFoundError: The folder is not there, or not any more.
        """
        return self._lock.acquire(wait=False)

    def release(self) -> None:
        """Leave what is here to whoever delivers it later."""
        self._lock.release()

    def add_points(self, points: "Iterable[Metric]") -> None:
        """Put metric points in, after those that are here."""
        rows = ((point.key, point.value, point.timestamp, point.step) for point in points)
        self._append(self._points, map(json.dumps, rows))

    def points(self) -> "Iterator[list[Metric]]":
        """Yield the points in the order in which they came, as many as one call may hold.

        Those of a list count as delivered as soon as the next list is asked for.
        """
        from mlflow.entities import Metric

        if not self._points.exists():
            return
        with self._points.open("rb") as lines:
            lines.seek(self._delivered)
            while chunk := list(islice(lines, POINTS_PER_CALL)):
                yield [Metric(*row) for line in chunk if (row := _row(line)) is not None]
                self._delivered = lines.tell()

    def drop_points(self) -> None:
        """Take the points out, all of which have been delivered."""
        self._points.unlink(missing_ok=True)
        self._delivered = 0
        if self.is_empty and self.folder.exists():
            self.clear()

    def add(self, operation: Operation) -> None:
        """Put in what is to be done once all points are delivered, after what is here."""
        self._append(self._operations, [operation.model_dump_json()])

    def operations(self) -> list[Operation]:
        """Return what is to be done, in its order."""
        if not self._operations.exists():
            return []
        lines = self._operations.read_bytes().splitlines()
        return [operation for line in lines if (operation := _operation(line)) is not None]

    def keep_model(self, model: "SentenceTransformer") -> None:
        """Put the run's model in, as a sentence-transformers folder."""
        from hooktune.tracking.models.digests import write_checksums
        from hooktune.tracking.models.loading import quiet_loading

        self._open()
        part = self.folder / "model.part"
        shutil.rmtree(part, ignore_errors=True)
        with quiet_loading():
            model.save_pretrained(str(part))
        write_checksums(part)
        shutil.rmtree(self._model, ignore_errors=True)
        part.rename(self._model)

    def load_model(self) -> "SentenceTransformer":
        """Return the run's model.

        Raises:
            UnsafeModelError: A file of it is of no kind that is known to be safe.
            HooktuneError: It is not as it was put in.
        """
        from hooktune.tracking.models.loading import load_folder

        return load_folder(self._model, f"run {self.run_id} in {self.folder}", "cpu")

    def clear(self) -> None:
        """Remove the folder, and the one around it where it is the last."""
        # Moved away first: so it is there as a whole for other processes, or not at all.
        gone = Path(tempfile.mkdtemp(prefix=DELIVERED, dir=self.folder.parent))
        self.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        self._is_described = False
        self.release()
        try:
            self.folder.parent.rmdir()
        except OSError:
            logger.debug("%s stays, it is not empty", self.folder.parent)

    def _open(self) -> None:
        with self._opening:
            self._make_and_hold()
            if not self._is_described:
                about = {"store": self._store, "process": describe_process()}
                self._about.write_text(json.dumps(about) + "\n", encoding="utf-8")
                self._is_described = True

    def _make_and_hold(self) -> None:
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                if self.is_held or self.hold():
                    return
            except FileNotFoundError:  # removed by a process that has delivered from it
                continue
            raise HooktuneError(
                f"{self.folder} is in use by another process, which delivers what is in it."
            )

    def _recorded(self, name: str) -> str | None:
        try:
            return str(json.loads(self._about.read_text(encoding="utf-8"))[name])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _append(self, file: Path, lines: Iterable[str]) -> None:
        self._open()
        with file.open("a", encoding="utf-8") as end:
            # A line that a dying process wrote in part is kept from spoiling the next one.
            end.writelines(f"\n{line}" for line in lines)
            end.flush()
            os.fsync(end.fileno())


def spool_folder(folder: str | Path | None = None) -> Path:
    """Return where undelivered things are kept: as given, `HOOKTUNE_SPOOL`, or the default.

    The default is `hooktune-spool` in the working folder. Nothing is made yet.
    """
    return Path(folder or os.environ.get("HOOKTUNE_SPOOL") or DEFAULT_SPOOL).absolute()


def _operation(line: bytes) -> Operation | None:
    """Read a line of operations; None for an empty one, or one that was not written to its end."""
    try:
        return _OPERATION.validate_json(line)
    except ValidationError:
        return None


def _row(line: bytes) -> "tuple[str, float, int, int] | None":
    """Read a line of points; None for an empty one, or one that was not written to its end."""
    try:
        name, value, time, step = json.loads(line)
    except (TypeError, ValueError):
        return None
    return name, value, time, step
