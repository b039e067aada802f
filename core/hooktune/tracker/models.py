"""Models in the tracking store: upload, check, load, delete."""

import logging
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from hooktune.errors import HooktuneError, RequestError, UnsafeModelError
from hooktune.tracker import safe_files
from hooktune.tracker.experiments import NOT_FOUND
from hooktune.tracker.outage import is_away
from hooktune.tracker.processes import scratch_folder
from hooktune.tracker.records import MODEL_BYTES_TAG, MODEL_TAG, RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

MODEL_NAME: Final = "model"
_WEIGHTS_FOLDER: Final = "model.sentence_transformer"  # where MLflow's flavour puts them
_REQUIREMENTS: Final = ("sentence-transformers", "torch", "transformers")


def upload_model(
    client: "MlflowClient", run: RunRecord, model: "SentenceTransformer", step: int = 0
) -> str:
    """Upload a model to a run, so that stock MLflow loads it, and check that it arrived whole.

    What was uploaded is taken away again when anything fails, or when it is tried again.

    Returns:
        MLflow's id of the model.

    Raises:
        UnsafeModelError: The model is made of more than weights and settings.
        HooktuneError: A file is missing in the store, or differs in size.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    for parts in models_by_run(client, [run.experiment_id]).get(run.run_id, []):
        if parts.status != LoggedModelStatus.READY:
            delete_model(client, parts.model_id)
    logged = client.create_logged_model(
        run.experiment_id, name=MODEL_NAME, source_run_id=run.run_id
    )
    try:
        with scratch_folder() as folder:
            files = folder / MODEL_NAME
            _save(model, files, logged, run.run_id)
            _refuse_unsafe(f"run {run.run_id}", safe_files.problem_of_folder(files))
            client.log_model_artifacts(logged.model_id, str(files))
            size = _check_whole(files, _repository(client, logged), run.run_id)
        client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step)])
        client.set_tag(run.run_id, MODEL_BYTES_TAG, str(size))
        client.set_tag(run.run_id, MODEL_TAG, logged.model_id)
        # The last thing of all, so that a model which is ready lacks nothing.
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    except BaseException as error:
        logger.warning("the model of run %s could not be uploaded", run.run_id)
        # With the store away, asking it to take them away again would only take minutes.
        if not is_away(error):
            _delete_parts(client, logged.model_id)
        raise
    return logged.model_id


def delete_model(client: "MlflowClient", model_id: str) -> None:
    """Delete a model's files, then its record; a model that is gone already is no error."""
    logged = find_model(client, model_id)
    if logged is None:
        return
    # The files first: once the record is deleted, nobody can find them any more.
    repository = _repository(client, logged)
    repository.delete_artifacts()
    if local := getattr(repository, "artifact_dir", None):
        _remove_if_empty(Path(local).parent)
    client.delete_logged_model(model_id)


def find_model(client: "MlflowClient", model_id: str | None) -> "LoggedModel | None":
    """Return the record of a model, or None for one that was deleted or never was."""
    from mlflow.exceptions import MlflowException

    if model_id is None:
        return None
    try:
        return client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code in NOT_FOUND:
            return None
        raise


def models_by_run(
    client: "MlflowClient", experiment_ids: Iterable[str], *, only_whole: bool = False
) -> "dict[str, list[LoggedModel]]":
    """Return the models that runs of some experiments have uploaded, by the run they are of.

    Args:
        client: MLflow's client of the store.
        experiment_ids: The experiments.
        only_whole: Leave out what was not uploaded to its end.
    """
    from mlflow.entities import LoggedModelStatus

    found: dict[str, list[LoggedModel]] = {}
    experiments, token = list(experiment_ids), None
    while experiments:
        page = client.search_logged_models(experiments, page_token=token)
        for logged in page:
            wanted = not only_whole or logged.status == LoggedModelStatus.READY
            if wanted and logged.name == MODEL_NAME and logged.source_run_id:
                found.setdefault(logged.source_run_id, []).append(logged)
        token = page.token
        if not token:
            break
    return found


def has_model(client: "MlflowClient", run: RunRecord) -> bool:
    """Tell whether a run's model is in the store and complete."""
    from mlflow.entities import LoggedModelStatus

    logged = find_model(client, run.model_id)
    return logged is not None and logged.status == LoggedModelStatus.READY


def is_registered(client: "MlflowClient", logged: "LoggedModel") -> bool:
    """Tell whether somebody registered a model, by whatever address, so that it must stay."""
    addresses = (
        f"models:/{logged.model_id}",
        f"runs:/{logged.source_run_id}/{MODEL_NAME}",
        logged.artifact_location,
    )
    conditions = [f"run_id = '{logged.source_run_id}'"]
    conditions += [f"source_path = '{address}'" for address in addresses if "'" not in address]
    return any(client.search_model_versions(condition, max_results=1) for condition in conditions)


def load_model(run: RunRecord, device: str | None = None) -> "SentenceTransformer":
    """Load the model of a run.

    Raises:
        RequestError: The run has no model, or it was deleted.
        UnsafeModelError: A file of it is of no kind that is known to be safe.
    """
    with _weights(run) as folder:
        return _load(folder, device)


def load_model_at(
    tracking_uri: str, address: str, owner: str, device: str | None = None
) -> "SentenceTransformer":
    """Load the model that lies at an address of a store.

    Args:
        tracking_uri: The store.
        address: Where its files are, as MLflow states it.
        owner: Whose model it is, for messages.
        device: A torch device; by default the best one that there is.

    Raises:
        UnsafeModelError: A file of it is of no kind that is known to be safe.
    """
    with _checked_weights(tracking_uri, address, owner) as folder:
        return _load(folder, device)


def load_folder(folder: Path, owner: str, device: str | None = None) -> "SentenceTransformer":
    """Load a model from a sentence-transformers folder outside the store.

    Args:
        folder: The folder.
        owner: Whose model it is, for messages.
        device: A torch device; by default the best one that there is.

    Raises:
        UnsafeModelError: A file of it is of no kind that is known to be safe.
    """
    _refuse_unsafe(owner, safe_files.problem_of_folder(folder))
    return _load(folder, device)


def check_model(run: RunRecord) -> None:
    """Make sure that a run's model is in the store and may be loaded.

    Raises:
        RequestError: The run has no model, or it was deleted.
        UnsafeModelError: A file of it is of no kind that is known to be safe.
    """
    with _weights(run):
        pass


def export_model(run: RunRecord, to: Path) -> None:
    """Copy a run's model into a new folder that sentence-transformers loads.

    Raises:
        RequestError: The run has no model, or the folder exists and is not empty.
        UnsafeModelError: A file of the model is of no kind that is known to be safe.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise RequestError(f"{to} exists already and is not an empty folder. Choose another one.")
    with _weights(run) as folder:
        try:
            shutil.copytree(folder, to, dirs_exist_ok=True)
        except BaseException:
            # Half a model, as of a full disk, might pass for a whole one.
            shutil.rmtree(to, ignore_errors=True)
            raise


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep transformers from drawing its bars, which tell nothing for a model this small."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def _weights(run: RunRecord) -> Iterator[Path]:
    """Give the sentence-transformers folder of a run's model, fetched if it is far away."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=run.tracking_uri, registry_uri=run.tracking_uri)
    logged = find_model(client, run.model_id)
    if logged is None:
        raise RequestError(
            f"Run {run.run_id} ({run.name}) has no model: only the best run of an iteration keeps "
            "one. `hooktune best` and `hooktune iterations` name the runs that have."
        )
    owner = f"run {run.run_id} ({run.name})"
    with _checked_weights(run.tracking_uri, logged.artifact_location, owner) as folder:
        yield folder


@contextmanager
def _checked_weights(tracking_uri: str, address: str, owner: str) -> Iterator[Path]:
    """Give the sentence-transformers folder of a model, once all of its files were checked."""
    repository = _repository_at(tracking_uri, address)
    with scratch_folder() as scratch:
        local = getattr(repository, "artifact_dir", None)
        if local is None:
            names = [name for name, _ in _stored_files(repository)]
            _refuse_unsafe(owner, safe_files.problem_of_names(names))
            local = repository.download_artifacts("", dst_path=str(scratch))
        folder = Path(local)
        if not (folder / _WEIGHTS_FOLDER).is_dir():
            raise HooktuneError(
                f"The model of {owner} is not there as sentence-transformers saves one. "
                "It was changed or removed by something else than hooktune."
            )
        _refuse_unsafe(owner, safe_files.problem_of_folder(folder))
        yield folder / _WEIGHTS_FOLDER


def _load(folder: Path, device: str | None) -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer

    with quiet_loading():
        return SentenceTransformer(
            str(folder), device=device, trust_remote_code=False, local_files_only=True
        )


def _refuse_unsafe(owner: str, problem: str | None) -> None:
    if problem:
        raise UnsafeModelError(
            f"The model of {owner} is refused, and nothing of it was loaded: {problem}. A model "
            "may hold safetensors, JSON and text, and modules of sentence-transformers alone."
        )


def _delete_parts(client: "MlflowClient", model_id: str) -> None:
    try:
        delete_model(client, model_id)
    except Exception as error:
        # What made the upload fail is what matters; the parts go with the iteration's next run.
        logger.warning("the parts of model %s could not be removed now: %s", model_id, error)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        logger.debug("%s stays, it is not empty", folder)


def _repository(client: "MlflowClient", logged: "LoggedModel") -> Any:
    return _repository_at(client.tracking_uri, logged.artifact_location)


def _repository_at(tracking_uri: str, address: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(address, tracking_uri=tracking_uri, registry_uri=tracking_uri)


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


def _check_whole(folder: Path, repository: Any, run_id: str) -> int:
    """Check that the files of a folder are in the store, and return how many bytes they take."""
    sent = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    stored = dict(_stored_files(repository))
    wrong = sorted(name for name, size in sent.items() if stored.get(name) != size)
    if wrong:
        raise HooktuneError(
            f"The model of run {run_id} did not arrive whole in the store: {', '.join(wrong)}. "
            "Check the artifact store's free space and permissions, and run the iteration again."
        )
    return sum(sent.values())


def _stored_files(repository: Any, path: str | None = None) -> Iterator[tuple[str, int]]:
    for entry in repository.list_artifacts(path):
        _refuse_unsafe("the store", safe_files.problem_of_path(entry.path))
        if entry.is_dir:
            yield from _stored_files(repository, entry.path)
        else:
            yield str(PurePosixPath(entry.path)), entry.file_size
