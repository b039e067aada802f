"""What the process that leads tells those that follow it, when several train one model."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hooktune.settings import IterationSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Files = dict[str, bytes]
"""The content of files by their paths within a folder."""


@dataclass(frozen=True)
class Beginning:
    """An iteration begins."""

    model: Files
    """The starting model."""
    settings: IterationSettings
    frozen_layers: int
    """How many of the model's lowest layers none of the runs is going to train."""


@dataclass(frozen=True)
class Fit:
    """A run begins."""

    params: dict[str, Any] | None
    """Its hyper-parameters, as JSON values; None for a method without any."""


@dataclass(frozen=True)
class Ending:
    """The iteration is over."""

    result: Any = None
    error: Exception | None = None


def packed_model(model: "SentenceTransformer") -> Files:
    """Return a model as files."""
    with tempfile.TemporaryDirectory(prefix="hooktune-") as folder:
        model.save_pretrained(folder, create_model_card=False)
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in Path(folder).rglob("*")
            if path.is_file()
        }


def unpacked_model(files: Files, device: str | None) -> "SentenceTransformer":
    """Load a model from its files."""
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory(prefix="hooktune-") as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return SentenceTransformer(folder, device=device, local_files_only=True)
