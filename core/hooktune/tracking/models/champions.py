"""Champions in MLflow's model registry: the versions of a method's best model, and which rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hooktune.contract.listing import Record
from hooktune.errors import HooktuneError, RequestError
from hooktune.naming import registered_model_name
from hooktune.tracking.models.files import find_model
from hooktune.tracking.models.loading import check_model, load_model_at
from hooktune.tracking.queries import find_run, or_none
from hooktune.tracking.records import METHOD_TAG, MODEL_DIGEST_TAG, TAG_LENGTH, RunRecord
from hooktune.tracking.tag_values import whole_number

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowModelVersion
    from sentence_transformers import SentenceTransformer

CHAMPION: Final = "champion"

# Tags of a model version.
PROMOTED_TAG: Final = "hooktune.promoted_at"
ROLLED_BACK_TAG: Final = "hooktune.rolled_back_at"
REPLACED_TAG: Final = "hooktune.replaced_version"


@dataclass(frozen=True, repr=False)
class ModelVersion(Record):
    """One version of a registered model."""

    model: str
    """The registered model's name."""
    number: int
    run_id: str | None
    """The run that the model is of; None for a version that somebody else registered so."""
    tags: dict[str, str] = field(repr=False)

    @property
    def replaced(self) -> int | None:
        """The version that was the champion before; None for the first one."""
        return whole_number(self.tags.get(REPLACED_TAG))


def find_champion(client: "MlflowClient", method: str) -> ModelVersion | None:
    """Return the version that is a method's champion, or None where it has none."""
    name = registered_model_name(method)
    found = or_none(lambda: client.get_model_version_by_alias(name, CHAMPION))
    return None if found is None else _version(found)


def find_version(client: "MlflowClient", name: str, number: int) -> ModelVersion | None:
    """Return a version of a registered model, or None where there is none or it was deleted."""
    found = or_none(lambda: client.get_model_version(name, str(number)))
    return None if found is None else _version(found)


def rolled_back(client: "MlflowClient", method: str, run: RunRecord) -> ModelVersion | None:
    """Return a version of a run's model that was the champion and was rolled back, if any."""
    name = registered_model_name(method)
    found = client.search_model_versions(f"run_id = '{run.run_id}'")
    versions = [_version(version) for version in found if version.name == name]
    return next((version for version in versions if ROLLED_BACK_TAG in version.tags), None)


def register_champion(
    client: "MlflowClient",
    method: str,
    run: RunRecord,
    replaced: ModelVersion | None,
    tags: Mapping[str, str],
    description: str,
) -> ModelVersion:
    """Register the model of a run as a new version, and make that the champion.

    Whenever the process dies, the champion is the one before or the new one. A registered model is
    never deleted by hooktune.

    Args:
        client: MLflow's client of the store.
        method: The method's display name.
        run: The run.
        replaced: The champion until now.
        tags: What was decided, and why.
        description: The same in words.

    Raises:
        RequestError: Somebody else has a registered model of this name.
        UnsafeModelError: A file of the model is of no kind that is known to be safe.
        HooktuneError: The model was deleted in the meantime.
    """
    check_model(client, run)
    name = registered_model_name(method)
    _create_model(client, name, method)
    logged = find_model(client, run.model_id)
    if logged is None:
        raise HooktuneError(f"The model of run {run.run_id} was deleted in the meantime.")
    own = {METHOD_TAG: method, PROMOTED_TAG: datetime.now(UTC).isoformat(timespec="seconds")}
    if replaced is not None:
        own[REPLACED_TAG] = str(replaced.number)
    made = client.create_model_version(
        name,
        # The files' address, since MLflow looks for a `models:/` one in the process's own store.
        source=logged.artifact_location,
        run_id=run.run_id,
        model_id=logged.model_id,
        tags={**tags, **own},
        description=description[:TAG_LENGTH],
    )
    # From here on hooktune deletes it no more; another process may have, just before.
    try:
        check_model(client, run)
    except BaseException:
        client.delete_model_version(name, made.version)
        raise
    client.set_registered_model_alias(name, CHAMPION, made.version)
    return _version(made)


def step_back(client: "MlflowClient", champion: ModelVersion, earlier: ModelVersion) -> None:
    """Make an earlier version the champion again, and note it on the one that it takes over from.

    The note comes first: a version that is noted and still the champion is rolled back once more.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(champion.model, str(champion.number), ROLLED_BACK_TAG, now)
    client.set_registered_model_alias(champion.model, CHAMPION, str(earlier.number))


def load_version(
    client: "MlflowClient", version: ModelVersion, device: str | None = None
) -> "SentenceTransformer":
    """Load the model of a version.

    Raises:
        UnsafeModelError: A file of it is of no kind that is known to be safe.
        HooktuneError: It is not there, or was not saved by sentence-transformers.
    """
    address = client.get_model_version_download_uri(version.model, str(version.number))
    owner = f"version {version.number} of {version.model}"
    run = None if version.run_id is None else find_run(client, version.run_id)
    digest = run.tags.get(MODEL_DIGEST_TAG) if run else None
    return load_model_at(client.tracking_uri, address, owner, digest, device)


def _create_model(client: "MlflowClient", name: str, method: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            name,
            tags={METHOD_TAG: method},
            description="The best models of a method. The alias champion says which one to serve.",
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        if client.get_registered_model(name).tags.get(METHOD_TAG) != method:
            raise RequestError(
                f"There is a registered model {name!r} in MLflow that hooktune did not make. "
                "Rename it there."
            ) from None


def _version(found: "MlflowModelVersion") -> ModelVersion:
    return ModelVersion(found.name, int(found.version), found.run_id or None, dict(found.tags))
