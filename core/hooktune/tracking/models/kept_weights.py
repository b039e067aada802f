"""The trained weights of an iteration's runs, kept in the store until they have been averaged."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hooktune.errors import HooktuneError
from hooktune.processes import scratch_folder
from hooktune.tracking.connection import answers
from hooktune.tracking.failures import insist
from hooktune.tracking.file_transfer import local_folder, remove, repository_at
from hooktune.tracking.models.digests import (
    CHECKSUMS,
    copy_with_digests,
    digests_of,
    problem_of_digests,
    write_checksums,
)
from hooktune.tracking.queries import search_runs
from hooktune.tracking.records import RunRecord, to_json
from hooktune.tracking.tag_values import json_object

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

WEIGHTS_TAG: Final = "hooktune.weights"
"""On a run that has some: how many bytes they take and the digest that seals them, once whole."""

MOST_BYTES: Final = 8 * 1024**3
"""So much may the weights of all runs of an iteration take; those that are more are not kept."""

_FOLDER: Final = "weights"


def keep_weights(client: "MlflowClient", run: RunRecord, folder: Path) -> None:
    """Store the files of a folder as a run's trained weights.

    Whether they are whole is told by a tag that comes last.

    Args:
        client: MLflow's client of the store.
        run: The run.
        folder: What is to be kept, which gets a list of its digests.

    Raises:
        HooktuneError: The store is away, or those of the iteration's runs would be too many.
    """
    if not answers(client.tracking_uri):
        raise HooktuneError("the store is away")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    others = (each for each in search_runs(client, run.experiment_id) if each.run_id != run.run_id)
    if size + sum(_facts(each).get("bytes", 0) for each in others) > MOST_BYTES:
        raise HooktuneError(
            f"those of all runs of the iteration would take more than {MOST_BYTES / 1e9:.0f} GB"
        )
    # Before anything is there, so that it is found and removed.
    client.set_tag(run.run_id, WEIGHTS_TAG, to_json({"bytes": size}))
    if WEIGHTS_TAG in run.tags:  # a part, by a process that died
        _remove(client, run)
    digest = write_checksums(folder)
    client.log_artifacts(run.run_id, str(folder), _FOLDER)
    client.set_tag(run.run_id, WEIGHTS_TAG, to_json({"bytes": size, "digest": digest}))


def has_weights(run: RunRecord) -> bool:
    """Tell whether the trained weights of a run are in the store, and whole."""
    return "digest" in _facts(run)


@contextmanager
def kept_weights(client: "MlflowClient", run: RunRecord) -> Iterator[Path]:
    """Give a folder with the trained weights of a run, as they were kept.

    Raises:
        HooktuneError: They are not there, or not as they were stored.
    """
    repository = _repository(client, run)
    local = local_folder(repository)
    with scratch_folder() as scratch:
        try:
            if local is None:
                folder = Path(insist(repository.download_artifacts, _FOLDER, dst_path=str(scratch)))
                digests = digests_of(folder)
            else:
                folder, digests = scratch, copy_with_digests(local / _FOLDER, scratch)
        except OSError as error:
            raise HooktuneError(
                f"the weights of run {run.run_id} cannot be read: {error}"
            ) from error
        problem = problem_of_digests(folder, digests, _facts(run).get("digest"))
        if problem or CHECKSUMS not in digests:
            raise HooktuneError(f"the weights of run {run.run_id} are not as they were: {problem}")
        yield folder


def forget_weights(client: "MlflowClient", run: RunRecord) -> None:
    """Delete the trained weights of a run, whole or not; a failure is a warning.

    The tag goes last, so that whoever ends the iteration again finds what is left.
    """
    if WEIGHTS_TAG not in run.tags:
        return
    try:
        _remove(client, run)
        client.delete_tag(run.run_id, WEIGHTS_TAG)
    except Exception as error:
        logger.warning("the weights of run %s stay for now: %s", run.run_id, error)


def _remove(client: "MlflowClient", run: RunRecord) -> None:
    insist(remove, _repository(client, run), _FOLDER)


def _repository(client: "MlflowClient", run: RunRecord) -> Any:
    return repository_at(client.tracking_uri, client.get_run(run.run_id).info.artifact_uri)


def _facts(run: RunRecord) -> dict[str, Any]:
    return json_object(run.tags.get(WEIGHTS_TAG)) or {}
