"""MLflow's client, which is not put off by one bad answer, nor by a local store that is locked."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from mlflow import MlflowClient

from hooktune.errors import StoreAwayError, interruption_unhidden
from hooktune.tracking.failures import insist, is_locked
from hooktune.tracking.file_transfer import check_arrived, repository_at, sizes_of

LOCK_PATIENCE: Final = 120.0
"""For how many seconds a local store that is locked is waited for, as a server that is away is."""

_CLIENTS_WITHIN: Final = "_tracking_client", "_registry_client_lazy"
"""Where MLflow's client keeps those of runs and of registered models; each has connections."""

_LOCKED_PAUSE: Final = 0.5  # seconds, besides those for which MLflow itself waits for the lock
_CALLS: Final = "create_", "delete_", "finalize_", "get_", "log_", "search_", "set_", "update_"
_REPEATED: Final = frozenset({
    "create_experiment",
    "create_logged_model",
    "delete_experiment_tag",
    "finalize_logged_model",
    "get_experiment",
    "get_experiment_by_name",
    "get_logged_model",
    "get_metric_history",
    "get_model_version",
    "get_model_version_by_alias",
    "get_model_version_download_uri",
    "get_registered_model",
    "get_run",
    "log_artifact",
    "log_artifacts",
    "log_batch",
    "log_inputs",
    "log_model_artifacts",
    "search_experiments",
    "search_logged_models",
    "search_model_versions",
    "search_runs",
    "set_experiment_tag",
    "set_model_version_tag",
    "set_registered_model_alias",
    "set_tag",
    "set_terminated",
    "update_run",
})  # fmt: skip
"""What may be done twice, because an answer can be lost after it was done.

A second experiment of a name is refused; who makes a model removes what is unfinished beside it.
"""


class PatientClient(MlflowClient):
    """MLflow's client, whose calls are made again where that may help and does no harm.

    MLflow itself asks a server again that does not answer. What takes the place of an answer, such
    as the page of a gateway, and a refusal that may pass, end a call at once there.
    """

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if not name.startswith(_CALLS):
            return value
        call = partial(_unlocked, self, value)
        return partial(insist, call) if name in _REPEATED else call

    def log_artifact(self, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        """Store a file with a run, and make sure that it arrived whole."""
        super().log_artifact(run_id, local_path, artifact_path)
        path = Path(local_path)
        self._check_arrived(run_id, {path.name: path.stat().st_size}, artifact_path)

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        """Store a folder's files with a run, and make sure that they arrived whole."""
        super().log_artifacts(run_id, local_dir, artifact_path)
        self._check_arrived(run_id, sizes_of(Path(local_dir)), artifact_path)

    def _check_arrived(self, run_id: str, sizes: Mapping[str, int], to: str | None) -> None:
        address = self.get_run(run_id).info.artifact_uri
        check_arrived(repository_at(self.tracking_uri, address), sizes, to)


def _unlocked(client: MlflowClient, call: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
    """Make a call; while another program has the local store for itself, wait and make it again.

    Raises:
        KeyboardInterrupt: It was interrupted, whatever MLflow makes of that.
        StoreAwayError: The other program had it for too long.
    """
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            with interruption_unhidden():
                return call(*given, **named)
        except Exception as error:
            if not is_locked(error):
                raise
            if time.monotonic() > deadline:
                raise StoreAwayError(
                    f"The tracking store was locked for {LOCK_PATIENCE:.0f} seconds, by a program "
                    "that copies it, say. When that is done, give the same command again."
                ) from error
        except BaseException:
            _take_back(client)
            raise
        time.sleep(_LOCKED_PAUSE)


def _take_back(client: MlflowClient) -> None:
    """Take back what was being written to a local store, so that nobody is locked out by it.

    Where the end of a transaction is interrupted, SQLAlchemy puts its connection back into the pool
    with the transaction open. Nothing could be written any more, not even that a run was
    interrupted.
    """
    for name in _CLIENTS_WITHIN:
        store = getattr(getattr(client, name, None), "store", None)
        if (engine := getattr(store, "engine", None)) is not None:
            engine.dispose()
