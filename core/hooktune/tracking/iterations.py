"""What happens to an iteration in the store: it is created, measured, run, and ends."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hooktune.contract.settings import IterationSettings
from hooktune.naming import INITIAL_EXPERIMENT, IterationName
from hooktune.processes import describe_process
from hooktune.tracking import notes, queries, records
from hooktune.tracking.models.best import decided_alone, delete_replaced, read_again, settle
from hooktune.tracking.models.initial import find_initial_run
from hooktune.tracking.records import Iteration, RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient


def starting_model(client: "MlflowClient", method: str) -> RunRecord | None:
    """Return the run whose model a method's next iteration starts from.

    It is the best one of the last finished iteration; where that beat nothing, the one that it had
    started from itself; without any iteration the initial model, or None without that.
    """
    last = queries.last_finished(client, method)
    if last is None:
        return find_initial_run(client, method)
    return queries.find_run(client, last.next_start)


def check_is_free(client: "MlflowClient", name: IterationName) -> None:
    """Make sure that an iteration that does not exist can be created.

    Raises:
        StoreError: Somebody else has an experiment of this name, or deleted it.
    """
    queries.check_is_free(client, str(name))
    queries.check_is_not_deleted(client, INITIAL_EXPERIMENT)


def create_iteration(
    client: "MlflowClient", name: IterationName, settings: IterationSettings, starting_run: str
) -> Iteration:
    """Create an iteration, or return it if another process was first.

    Raises:
        StoreError: Somebody else has an experiment of this name, or deleted it.
    """
    previous = starting_model(client, name.method)
    tags = records.iteration_tags(settings, starting_run, previous.run_id if previous else None)
    queries.create_experiment(client, str(name), tags)
    iteration = queries.find_iteration(client, name)
    if iteration is None:
        raise queries.is_foreign(str(name))
    with decided_alone(client, iteration) as iteration:
        notes.describe(client, iteration)
    return iteration


def record_starting_metrics(
    client: "MlflowClient", iteration: Iteration, metrics: Mapping[str, float]
) -> Iteration:
    """Record how the starting model does on the test sessions."""
    text = records.starting_metrics_text(metrics)
    with decided_alone(client, iteration):
        client.set_experiment_tag(iteration.experiment_id, records.STARTING_METRICS_TAG, text)
        return read_again(client, iteration)


def start_run(
    client: "MlflowClient",
    iteration: Iteration,
    name: str,
    run_key: str,
    hyper_parameters: Mapping[str, Any],
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> RunRecord:
    """Start a run of an iteration: see `Tracker.start_run`."""
    own = {
        records.METHOD_TAG: iteration.name.method,
        records.BATCH_TAG: iteration.name.batch_id,
        records.RUN_KEY_TAG: run_key,
        records.HYPER_PARAMETERS_TAG: records.hyper_parameters_text(hyper_parameters),
        records.PROCESS_TAG: describe_process(),
    }
    described = {**hyper_parameters, **params}
    return queries.create_run(client, iteration, name, {**tags, **own}, described)


def finish_iteration(client: "MlflowClient", iteration: Iteration) -> Iteration:
    """Record that an iteration has done all its runs, and delete the model that it replaced."""
    with decided_alone(client, iteration) as iteration:
        improved = settle(client, iteration) is not None
        tags = {records.IMPROVED_TAG: "true" if improved else "false"}
        if iteration.finished_at is None:
            tags[records.FINISHED_TAG] = datetime.now(UTC).isoformat()
        for key, value in tags.items():
            client.set_experiment_tag(iteration.experiment_id, key, value)
        if improved:
            delete_replaced(client, iteration)
        iteration = read_again(client, iteration)
        notes.describe(client, iteration)
    return iteration
