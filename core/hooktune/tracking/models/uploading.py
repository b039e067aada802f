"""Models into the tracking store, so that stock MLflow loads them."""

import logging
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hooktune.errors import HooktuneError
from hooktune.processes import scratch_folder
from hooktune.tracking.failures import insist, is_away
from hooktune.tracking.file_transfer import check_arrived, sizes_of
from hooktune.tracking.models.deletion import delete_model
from hooktune.tracking.models.digests import write_checksums
from hooktune.tracking.models.files import (
    MODEL_NAME,
    models_by_run,
    repository_of,
)
from hooktune.tracking.models.loading import checked_weights, let_go, load_model_at, quiet_loading
from hooktune.tracking.models.safe_files import problem_of_folder, refuse_unsafe
from hooktune.tracking.models.whole_weights import problem_of_weights
from hooktune.tracking.records import (
    MODEL_BYTES_TAG,
    MODEL_DIGEST_TAG,
    MODEL_TAG,
    RunRecord,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

Verify = Callable[["SentenceTransformer"], None]
"""Raises where a model, loaded from the store, is not the one that was measured."""

_REQUIREMENTS: Final = ("sentence-transformers", "torch", "transformers")


def upload_model(
    client: "MlflowClient",
    run: RunRecord,
    model: "SentenceTransformer",
    step: int = 0,
    verify: Verify | None = None,
) -> str:
    """Upload a model to a run, so that stock MLflow loads it, and check that it arrived whole.

    What was uploaded is taken away again when anything fails, or when it is tried again.

    Args:
        client: MLflow's client of the store.
        run: The run.
        model: Its model.
        step: The training step that the model stands for.
        verify: Is called with the model as it is loaded from the store, and raises where that is
            not what was measured.

    Returns:
        MLflow's id of the model.

    Raises:
        UnsafeModelError: The model is made of more than weights and settings.
        HooktuneError: A file is missing in the store, or differs; or weights are no finite numbers.
    """
    from mlflow.entities import LoggedModelStatus

    _delete_unfinished(client, run)
    logged = client.create_logged_model(
        run.experiment_id, name=MODEL_NAME, source_run_id=run.run_id
    )
    try:
        with scratch_folder() as folder:
            files = folder / MODEL_NAME
            _save(model, files, logged, run.run_id)
            refuse_unsafe(f"run {run.run_id}", problem_of_folder(files))
            if problem := problem_of_weights(files):
                raise HooktuneError(f"The model of run {run.run_id} is not stored: {problem}.")
            digest = write_checksums(files)
            size = insist(_send, client, logged, files)
        _verify(client, logged, digest, str(model.device), verify)
        _record_output(client, run.run_id, logged.model_id, step)
        client.set_tag(run.run_id, MODEL_BYTES_TAG, str(size))
        client.set_tag(run.run_id, MODEL_DIGEST_TAG, digest)
        client.set_tag(run.run_id, MODEL_TAG, logged.model_id)
        # The last thing of all, so that a model which is ready lacks nothing.
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        # A twin is left where MLflow asked again for the new model, as the answer was lost.
        _delete_unfinished(client, run)
    except BaseException as error:
        logger.warning("the model of run %s could not be uploaded", run.run_id)
        # With the store away, asking it to take them away again would only take minutes.
        if not is_away(error):
            _delete_parts(client, logged.model_id)
        raise
    return logged.model_id


def _verify(
    client: "MlflowClient", logged: "LoggedModel", digest: str, device: str, verify: Verify | None
) -> None:
    """Check what has arrived in the store, not what was sent."""
    import torch

    address, owner = logged.artifact_location, f"run {logged.source_run_id}"
    if verify is None:
        with checked_weights(client.tracking_uri, address, owner, digest):
            return
    # Loading draws random numbers, which are to be those of whatever comes next.
    with torch.random.fork_rng(devices=[]):
        stored = load_model_at(client.tracking_uri, address, owner, digest, device)
        verify(stored)
        let_go(stored)


def _record_output(client: "MlflowClient", run_id: str, model_id: str, step: int) -> None:
    """Record that a run has made a model; the store refuses it when it has that already."""
    from mlflow.entities import LoggedModelOutput

    def record() -> None:
        outputs = client.get_run(run_id).outputs
        if all(
            output.model_id != model_id for output in (outputs.model_outputs if outputs else [])
        ):
            client.log_outputs(run_id, [LoggedModelOutput(model_id, step)])

    try:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step)])
    except Exception as error:
        logger.debug("whether model %s is recorded is looked up: %s", model_id, error)
        insist(record)


def _delete_unfinished(client: "MlflowClient", run: RunRecord) -> None:
    """Delete the models of a run whose uploads did not come to an end."""
    from mlflow.entities import LoggedModelStatus

    for parts in models_by_run(client, [run.experiment_id]).get(run.run_id, []):
        if parts.status != LoggedModelStatus.READY:
            delete_model(client, parts.model_id)


def _delete_parts(client: "MlflowClient", model_id: str) -> None:
    try:
        delete_model(client, model_id)
    except Exception as error:
        # What made the upload fail is what matters; the parts go with the iteration's next run.
        logger.warning("the parts of model %s could not be removed now: %s", model_id, error)


def _save(model: "SentenceTransformer", folder: Path, logged: "LoggedModel", run_id: str) -> None:
    import mlflow.sentence_transformers
    from mlflow.models import Model

    description = Model(
        artifact_path=MODEL_NAME,
        model_uuid=logged.model_id,
        run_id=run_id,
        model_id=logged.model_id,
    )
    with warnings.catch_warnings(), quiet_loading():
        warnings.simplefilter("ignore")  # MLflow's flavour imports names that moved
        mlflow.sentence_transformers.save_model(
            model,
            str(folder),
            mlflow_model=description,
            # Named here because MLflow would take up to two minutes to infer them.
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
        )
    # MLflow notes where the model was loaded from; a folder of this machine tells nobody anything.
    source = description.flavors["sentence_transformers"].get("source_model_name")
    if source and Path(source).is_absolute():
        del description.flavors["sentence_transformers"]["source_model_name"]
        description.save(str(folder / "MLmodel"))


def _send(client: "MlflowClient", logged: "LoggedModel", folder: Path) -> int:
    """Store a model's files, make sure that they arrived, and return how many bytes they take."""
    sizes = sizes_of(folder)
    client.log_model_artifacts(logged.model_id, str(folder))
    check_arrived(repository_of(client, logged), sizes)
    return sum(sizes.values())
