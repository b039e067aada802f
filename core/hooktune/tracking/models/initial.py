"""The initial model of a method: stored once, as a run of the experiment of initial models."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hooktune.naming import INITIAL_EXPERIMENT, INITIAL_RUN
from hooktune.plain_text import markdown
from hooktune.processes import describe_process
from hooktune.tracking import notes, queries, records
from hooktune.tracking.claims import Claims
from hooktune.tracking.models import files
from hooktune.tracking.models.deletion import delete_model
from hooktune.tracking.models.uploading import upload_model
from hooktune.tracking.records import RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sentence_transformers import SentenceTransformer


def find_initial_run(client: "MlflowClient", method: str) -> RunRecord | None:
    """Return the run that holds a method's initial model, or None where it has none yet."""
    for run in _initial_runs(client, method):
        if run.status == "FINISHED" and files.has_model(client, run):
            return run
    return None


def upload_initial_model(
    client: "MlflowClient", method: str, model: "SentenceTransformer", tags: Mapping[str, str]
) -> str:
    """Store the model that a method starts from, and return the id of its run.

    Where another process was first, its run is returned and nothing is stored.
    """
    experiment_id = queries.create_experiment(client, INITIAL_EXPERIMENT, {})
    key = hashlib.sha256(method.encode()).hexdigest()[:32]
    with Claims(client, experiment_id).claimed(key):
        present = find_initial_run(client, method)
        if present is not None:
            return present.run_id
        return _upload(client, experiment_id, method, model, tags)


def _upload(
    client: "MlflowClient",
    experiment_id: str,
    method: str,
    model: "SentenceTransformer",
    tags: Mapping[str, str],
) -> str:
    own = {
        records.METHOD_TAG: method,
        **notes.note_tags(f"The initial model of {markdown(method)}."),
        records.PROCESS_TAG: describe_process(),
    }
    run = _reopened(client, method, {**tags, **own}) or queries.create_only_run(
        client, experiment_id, INITIAL_RUN, {**tags, **own}
    )
    try:
        upload_model(client, run, model)
    except BaseException:
        client.set_terminated(run.run_id, "FAILED")
        raise
    client.set_terminated(run.run_id, "FINISHED")
    return run.run_id


def _initial_runs(client: "MlflowClient", method: str) -> list[RunRecord]:
    experiment = queries.find_experiment(client, INITIAL_EXPERIMENT)
    if experiment is None:
        return []
    found = queries.search_runs(client, experiment.experiment_id)
    return [run for run in found if run.method == method]


def _reopened(client: "MlflowClient", method: str, tags: Mapping[str, str]) -> RunRecord | None:
    """Take over the run of an upload that failed or whose process died, without what it stored.

    Nobody else is at work on it while this process claims the method.
    """
    from mlflow.entities import RunTag

    left = [run for run in _initial_runs(client, method) if run.status != "FINISHED"]
    if not left:
        return None
    run = left[0]
    for model in files.models_by_run(client, [run.experiment_id]).get(run.run_id, []):
        delete_model(client, model.model_id)
    client.update_run(run.run_id, status="RUNNING")
    client.log_batch(run.run_id, tags=[RunTag(*tag) for tag in tags.items()])
    return run
