"""What the process that leads tells those that follow it, when several train one model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hooktune.contract.settings import IterationSettings
from hooktune.errors import HooktuneError
from hooktune.evaluation.collection import JudgedQueries
from hooktune.processes import scratch_folder
from hooktune.tracking.models.loading import load_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Files = dict[str, bytes]
"""The content of files by their paths within a folder."""


@dataclass(frozen=True)
class BeginIteration:
    """An iteration begins."""

    model: Files
    """The starting model."""
    settings: IterationSettings
    frozen_layers: int
    """How many of the model's lowest layers none of the runs is going to train."""
    judged: JudgedQueries | None
    """Judged queries to measure by."""
    embeddings: Path | None
    """Where embeddings of the starting model are kept; None for a temporary folder."""


@dataclass(frozen=True)
class BeginRun:
    """A run begins."""

    params: dict[str, Any] | None
    """Its hyper-parameters, as JSON values; None for a method without any."""
    work: str
    """A name that no other run has."""
    model: Files | None
    """The model of an average of runs; None where one is to be trained."""


@dataclass(frozen=True)
class StillWaiting:
    """Processes of other groups are waited for, so that nobody takes this group for hung."""


@dataclass(frozen=True)
class EndIteration:
    """The iteration is over."""

    result: Any = None
    error: HooktuneError | None = None


def packed_model(model: "SentenceTransformer") -> Files:
    """Return a model as files."""
    with scratch_folder() as folder:
        model.save_pretrained(str(folder), create_model_card=False)
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }


def unpacked_model(files: Files, device: str | None) -> "SentenceTransformer":
    """Load a model from its files."""
    with scratch_folder() as folder:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return load_folder(folder, "the leading process", device)
