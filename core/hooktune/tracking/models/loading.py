"""Models out of the tracking store: checked, then loaded or copied."""

import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Final

from hooktune.errors import HooktuneError, RequestError
from hooktune.processes import scratch_folder
from hooktune.tracking.failures import insist
from hooktune.tracking.file_transfer import fetch, local_folder, repository_at
from hooktune.tracking.models.digests import copy_with_digests, digests_of, problem_of_digests
from hooktune.tracking.models.files import WEIGHTS_FOLDER, find_model, stored_files
from hooktune.tracking.models.safe_files import problem_of_folder, problem_of_names, refuse_unsafe
from hooktune.tracking.models.whole_weights import problem_of_weights, refusing_other_weights
from hooktune.tracking.records import MODEL_DIGEST_TAG, RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_LOADING: Final = RLock()
_FETCHES: Final = 3


def load_model(
    client: "MlflowClient", run: RunRecord, device: str | None = None
) -> "SentenceTransformer":
    """Load the model of a run.

    Raises:
        RequestError: The run has no model, or it was deleted.
        UnsafeModelError: A file of it is of no kind that is known to be safe.
    """
    owner = _owner(run)
    with _weights(client, run) as folder:
        return _load(folder, owner, device)


def load_model_at(
    tracking_uri: str,
    address: str,
    owner: str,
    digest: str | None,
    device: str | None = None,
) -> "SentenceTransformer":
    """Load the model that lies at an address of a store.

    Args:
        tracking_uri: The store.
        address: Where its files are, as MLflow states it.
        owner: Whose model it is, for messages.
        digest: That of its files, as `upload_model` has recorded it; None where it has not.
        device: A torch device; by default the best one that there is.

    Raises:
        UnsafeModelError: A file of it is of no kind that is known to be safe.
        HooktuneError: It is not there, or not as it was uploaded.
    """
    with checked_weights(tracking_uri, address, owner, digest) as folder:
        return _load(folder, owner, device)


def let_go(model: "SentenceTransformer") -> None:
    """Free the memory of a model that nobody else has.

    It and its card refer to each other, so that else it stays until the garbage collector looks
    through all objects, which it seldom does.
    """
    model.model_card_data.model = None


def load_folder(folder: Path, owner: str, device: str | None = None) -> "SentenceTransformer":
    """Load a model from a sentence-transformers folder outside the store.

    Args:
        folder: The folder.
        owner: Whose model it is, for messages.
        device: A torch device; by default the best one that there is.

    Raises:
        UnsafeModelError: A file of it is of no kind that is known to be safe.
        HooktuneError: It is damaged.
    """
    with _private_copy(folder, owner) as (copy, digests):
        _refuse_damaged(owner, problem_of_digests(copy, digests, None) or problem_of_weights(copy))
        return _load(copy, owner, device)


def check_model(client: "MlflowClient", run: RunRecord) -> None:
    """Make sure that a run's model is in the store and may be loaded.

    Raises:
        RequestError: The run has no model, or it was deleted.
        UnsafeModelError: A file of it is of no kind that is known to be safe.
    """
    with _weights(client, run):
        pass


def export_model(client: "MlflowClient", run: RunRecord, to: Path) -> None:
    """Copy a run's model into a new folder that sentence-transformers loads.

    Raises:
        RequestError: The run has no model, or the folder exists and is not empty.
        UnsafeModelError: A file of the model is of no kind that is known to be safe.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise RequestError(f"{to} exists already and is not an empty folder. Choose another one.")
    with _weights(client, run) as folder:
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
def _weights(client: "MlflowClient", run: RunRecord) -> Iterator[Path]:
    """Give the sentence-transformers folder of a run's model, checked, as a copy of one's own."""
    logged = find_model(client, run.model_id)
    if logged is None:
        raise RequestError(
            f"Run {run.run_id} ({run.name}) has no model: only the best run of an iteration keeps "
            "one. `hooktune best` and `hooktune iterations` name the runs that have."
        )
    digest = run.tags.get(MODEL_DIGEST_TAG)
    address = logged.artifact_location
    with checked_weights(client.tracking_uri, address, _owner(run), digest) as folder:
        yield folder


def _owner(run: RunRecord) -> str:
    return f"run {run.run_id} ({run.name})"


@contextmanager
def checked_weights(
    tracking_uri: str, address: str, owner: str, digest: str | None
) -> Iterator[Path]:
    """Give the sentence-transformers folder of a model, once all of its files were checked.

    It is a copy that only this user can write to, so that what is loaded is what was checked.

    Args:
        tracking_uri: The store.
        address: Where its files are, as MLflow states it.
        owner: Whose model it is, for messages.
        digest: That of its files, as it was recorded when they were uploaded; None for a model from
            before that was done.

    Raises:
        UnsafeModelError: A file of it is of no kind that is known to be safe.
        HooktuneError: It is not there, or not as it was uploaded.
    """
    repository = repository_at(tracking_uri, address)
    if local := local_folder(repository):
        with _private_copy(local, owner) as (folder, digests):
            yield _whole(folder, owner, digests, digest)
        return
    with scratch_folder() as scratch:
        sizes = dict(stored_files(repository))
        refuse_unsafe(owner, problem_of_names(list(sizes)))
        for _ in range(_FETCHES):
            folder = insist(fetch, repository, "", sizes, scratch)
            digests = digests_of(folder)
            # What was harmed on its way is no damage of the store's.
            if problem_of_digests(folder, digests, digest) is None:
                break
        refuse_unsafe(owner, problem_of_folder(folder))
        yield _whole(folder, owner, digests, digest)


@contextmanager
def _private_copy(folder: Path, owner: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Give a copy of a model's folder, once it is safe, and the digests of its files."""
    if not folder.is_dir():
        raise _not_there(owner)
    refuse_unsafe(owner, problem_of_folder(folder))
    with scratch_folder() as scratch:
        copy = _copy_or_none(folder, scratch, owner)
        if copy is not None:
            # Somebody may have changed the one that was looked at.
            refuse_unsafe(owner, problem_of_folder(scratch))
            yield scratch, copy
            return
    before = digests_of(folder)
    yield folder, before
    if digests_of(folder) != before:
        _refuse_damaged(owner, "its files were changed while they were read")


def _copy_or_none(folder: Path, to: Path, owner: str) -> dict[str, str] | None:
    """Copy a model's files and return their digests, or None where there is no room for them."""
    try:
        return copy_with_digests(folder, to)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            logger.warning("no room for a copy of the model of %s, which is read in place", owner)
            return None
        raise HooktuneError(f"The model of {owner} cannot be read: {error}") from error


def _whole(folder: Path, owner: str, digests: dict[str, str], digest: str | None) -> Path:
    if not (folder / WEIGHTS_FOLDER).is_dir():
        raise _not_there(owner)
    _refuse_damaged(owner, problem_of_digests(folder, digests, digest))
    if digest is None:
        # What was sealed was looked at before.
        _refuse_damaged(owner, problem_of_weights(folder))
    return folder / WEIGHTS_FOLDER


def _not_there(owner: str) -> HooktuneError:
    return HooktuneError(
        f"The model of {owner} is not there as sentence-transformers saves one. "
        "It was changed or removed by something else than hooktune."
    )


def _refuse_damaged(owner: str, problem: str | None) -> None:
    if problem:
        raise HooktuneError(
            f"The model of {owner} is not as it was stored, and nothing of it was loaded: "
            f"{problem}. Restore it from a backup, or start from another run by --from."
        )


def _load(folder: Path, owner: str, device: str | None) -> "SentenceTransformer":
    from hooktune.parts import load_sentence_transformer

    # These stand above what the model's own files say.
    options = {
        "use_safetensors": True,
        "weights_only": True,
        "allow_all_kernels": False,
        "use_kernels": False,
    }
    try:
        with quiet_loading(), _without_hub(), refusing_other_weights(owner):
            return load_sentence_transformer(
                str(folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs=options,
            )
    except (HooktuneError, MemoryError):
        raise
    except Exception as error:
        raise HooktuneError(
            f"The model of {owner} cannot be loaded, since its settings, its weights and the "
            f"installed libraries do not fit together: {error}"
        ) from error


@contextmanager
def _without_hub() -> Iterator[None]:
    """Let no request go to the hub meanwhile, whatever a library takes into its head.

    Some classes of transformers ask it for more without passing on that only local files are
    wanted. The switch is that of HF_HUB_OFFLINE, which is read again at each request.
    """
    from huggingface_hub import constants

    with _LOADING:
        before = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before
