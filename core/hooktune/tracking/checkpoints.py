"""The checkpoints of a run in the store: the newest one that is whole counts."""

import hashlib
import json
import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hooktune.contract.checkpoint import Checkpoint
from hooktune.errors import HooktuneError
from hooktune.processes import scratch_folder
from hooktune.tracking.connection import answers
from hooktune.tracking.failures import NotWholeError, insist
from hooktune.tracking.file_transfer import local_folder, remove, repository_at
from hooktune.tracking.records import CHECKPOINT_TAG, RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_FOLDER: Final = "checkpoint"
_TENSORS: Final = "tensors.safetensors"
_FACTS: Final = "facts.json"
_MANIFEST: Final = "manifest.json"


class Checkpoints:
    """The checkpoints of a run: the newest whole one is there at any moment, once one was written.

    Each is a folder of its own among the run's artifacts. Its manifest comes last, with the size
    and the digest of each file; only then the one before is deleted.

    Args:
        client: MLflow's client of the store.
        run: The run.
        every: After how many seconds the next one is due; with 0 it is at once.
    """

    def __init__(self, client: "MlflowClient", run: RunRecord, every: float) -> None:
        self._client = client
        self._run_id = run.run_id
        self._is_tagged = CHECKPOINT_TAG in run.tags
        self._every = every
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether the next one is to be written."""
        return time.monotonic() - self._last >= self._every

    def write(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint, and delete the one before; a failure is a warning."""
        try:
            if not answers(self._client.tracking_uri):
                raise HooktuneError("the store is away")
            self._write(checkpoint)
        except Exception as error:
            logger.warning("no checkpoint of run %s could be stored now: %s", self._run_id, error)
        self._last = time.monotonic()

    def read(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, or None where there is none."""
        if not self._is_tagged:
            return None
        for name in self._names():
            try:
                return insist(self._read, name)
            except Exception as error:
                logger.info(
                    "the checkpoint %s of run %s is not whole: %s", name, self._run_id, error
                )
        return None

    def remove(self) -> None:
        """Delete all of them, once the run has ended; a failure is a warning."""
        if not self._is_tagged:
            return
        try:
            insist(remove, self._repository(), _FOLDER)
            self._client.delete_tag(self._run_id, CHECKPOINT_TAG)
        except Exception as error:
            logger.warning("a checkpoint of run %s stays for now: %s", self._run_id, error)

    def _write(self, checkpoint: Checkpoint) -> None:
        from safetensors.torch import save_file

        name = f"{checkpoint.step:012d}"
        if not self._is_tagged:  # before anything is there, so that it is found and removed
            self._client.set_tag(self._run_id, CHECKPOINT_TAG, "kept until the run ends")
            self._is_tagged = True
        with scratch_folder() as folder:
            save_file(
                {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()},
                folder / _TENSORS,
            )
            (folder / _FACTS).write_text(json.dumps(checkpoint.facts), encoding="utf-8")
            manifest = {file: _proof(folder / file) for file in (_TENSORS, _FACTS)}
            self._client.log_artifacts(self._run_id, str(folder), f"{_FOLDER}/{name}")
            (folder / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
            path = str(folder / _MANIFEST)
            self._client.log_artifact(self._run_id, path, f"{_FOLDER}/{name}")
        for old in self._names():
            if old != name:
                insist(remove, self._repository(), f"{_FOLDER}/{old}")

    def _read(self, name: str) -> Checkpoint:
        from safetensors.torch import load_file

        with scratch_folder() as folder:
            manifest = _read_manifest(self._fetch(name, _MANIFEST, folder))
            files = {file: self._fetch(name, file, folder) for file in (_TENSORS, _FACTS)}
            for file, path in files.items():
                if _proof(path) != manifest[file]:
                    raise NotWholeError(f"{file} is not what the manifest says")
            facts: Mapping[str, Any] = json.loads(files[_FACTS].read_text(encoding="utf-8"))
            return Checkpoint(int(name), load_file(files[_TENSORS]), facts)

    def _fetch(self, name: str, file: str, folder: Path) -> Path:
        repository, path = self._repository(), f"{_FOLDER}/{name}/{file}"
        if local := local_folder(repository):
            return local / path
        return Path(insist(repository.download_artifacts, path, dst_path=str(folder)))

    def _names(self) -> list[str]:
        """Return the names of all that are there, whole or not, the newest first."""
        entries = insist(self._repository().list_artifacts, _FOLDER)
        paths = [entry.path for entry in entries if entry.is_dir]
        found = (re.fullmatch(rf"{_FOLDER}/(\d{{12}})/?", path) for path in paths)
        return sorted((match[1] for match in found if match), reverse=True)

    def _repository(self) -> Any:
        address = self._client.get_run(self._run_id).info.artifact_uri
        return repository_at(self._client.tracking_uri, address)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NotWholeError(f"its manifest is none: {error}") from error
    return manifest


def _proof(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
