"""The rule by which one model of an iteration is kept."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hooktune.contract.metric import MainMetric
from hooktune.errors import HooktuneError
from hooktune.tracking.claims import Claims
from hooktune.tracking.models import files
from hooktune.tracking.models.deletion import delete_model
from hooktune.tracking.models.uploading import Verify, upload_model
from hooktune.tracking.queries import find_iteration, find_run, search_iterations, search_runs
from hooktune.tracking.records import BEST_RUN_TAG, Iteration, RunRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_OUTCOME: Final = "outcome"
"""What is claimed to decide about an iteration: which run is the best, and whether it is over."""


def rank(main: MainMetric, run: RunRecord) -> tuple[bool, float, int, str]:
    """Return a key that sorts the best run first; of equal runs, the one that began first.

    No two runs have the same key, so that processes that decide at once decide alike.
    """
    return (*main.sort_key(run.metrics.get(main.name)), run.started_at, run.run_id)


def choose_best(iteration: Iteration, runs: Iterable[RunRecord]) -> RunRecord | None:
    """Return the best of some runs, or None where none of them beats the starting model.

    A run that a guard holds back is never the best. A loss is compared with what the starting model
    has under the same loss. Runs are compared with each other by their values alone, also where
    their losses differ.
    """
    main = iteration.settings.main_metric
    better = [
        run
        for run in runs
        if not run.held_back
        and main.beats(
            run.metrics.get(main.name), iteration.starting_metrics_of(run).get(main.name)
        )
    ]
    return min(better, key=lambda run: rank(main, run), default=None)


def keep_if_best(
    client: "MlflowClient",
    iteration: Iteration,
    run: RunRecord,
    model: "SentenceTransformer",
    step: int,
    verify: Verify | None = None,
) -> bool:
    """Keep a run's model if it is the best of its iteration, and delete the one it replaces.

    The new model is uploaded, checked and verified before it is marked the best, and the old one is
    deleted after that: whenever the process dies, a whole best model is there. Others may upload
    theirs meanwhile, and decide one after the other.
    """
    rivals = _contenders(iteration, search_runs(client, iteration.experiment_id), client)
    best = choose_best(iteration, [*rivals, run])
    if best is None or best.run_id != run.run_id:
        return False
    # Whole already where this is done again, because the answer to an earlier call was lost.
    if not files.has_model(client, run):
        upload_model(client, run, model, step, verify)
    with decided_alone(client, iteration) as present:
        return settle(client, present, own=run.run_id) == run.run_id


@contextmanager
def decided_alone(client: "MlflowClient", iteration: Iteration) -> Iterator[Iteration]:
    """Keep other processes from deciding about an iteration, and give it as the store has it now.

    Raises:
        HooktuneError: It was deleted.
    """
    with Claims(client, iteration.experiment_id).claimed(_OUTCOME):
        yield read_again(client, iteration)


def read_again(client: "MlflowClient", iteration: Iteration) -> Iteration:
    """Return an iteration as the store has it now.

    Raises:
        HooktuneError: It was deleted.
    """
    found = find_iteration(client, iteration.name)
    if found is None:
        raise HooktuneError(
            f"The experiment {iteration.name} was deleted in the meantime. Restore it by `mlflow "
            "experiments restore`, or remove it for good by `mlflow gc`, and give the same command "
            "again."
        )
    return found


def settle(client: "MlflowClient", iteration: Iteration, own: str | None = None) -> str | None:
    """Mark the best run of an iteration and delete the models of its others.

    Args:
        client: MLflow's client of the store.
        iteration: The iteration, as `decided_alone` gives it.
        own: The caller's own run; the models of other runs still at work are left to them.

    Returns:
        The id of the best run, or None where none beats the starting model.
    """
    runs = search_runs(client, iteration.experiment_id)
    best = choose_best(iteration, _contenders(iteration, runs, client))
    best_id = best.run_id if best else iteration.best_run
    if best_id is not None and best_id != iteration.best_run:
        client.set_experiment_tag(iteration.experiment_id, BEST_RUN_TAG, best_id)
    over = [run for run in runs if run.status != "RUNNING" or run.run_id == own]
    _delete_models(client, [run for run in over if run.run_id != best_id])
    return best_id


def delete_replaced(client: "MlflowClient", iteration: Iteration) -> None:
    """Delete the models of a method's other finished iterations that nothing starts from now."""
    others = [
        other.experiment_id
        for other in search_iterations(client, iteration.name.method)
        if other.finished_at and other.experiment_id != iteration.experiment_id
    ]
    found = (find_run(client, run_id) for run_id in files.models_by_run(client, others))
    _delete_models(client, [run for run in found if run and run.status != "RUNNING"])


def _contenders(
    iteration: Iteration, runs: Iterable[RunRecord], client: "MlflowClient"
) -> list[RunRecord]:
    """Return the runs that may be the best: those whose whole model is stored.

    The one that is marked counts without its model too: once a later iteration has replaced it,
    that is gone, and no worse run is to take its place.
    """
    whole = files.models_by_run(client, [iteration.experiment_id], only_whole=True)
    return [
        run
        for run in runs
        if run.run_id == iteration.best_run
        or (run.run_id in whole and run.status in ("RUNNING", "FINISHED"))
    ]


def _delete_models(client: "MlflowClient", runs: Iterable[RunRecord]) -> None:
    """Delete what runs have uploaded, as far as nobody wants it any more.

    A failure is a warning: each model is tried again when its method finishes an iteration.
    """
    runs = list(runs)
    stored = files.models_by_run(client, {run.experiment_id for run in runs})
    for run in runs:
        for model in stored.get(run.run_id, []):
            try:
                delete_model(client, model.model_id)
            except Exception as error:
                logger.warning(
                    "the model of run %s could not be deleted now: %s", run.run_id, error
                )
