"""What a store holds of a method, to be compared with what another one holds of the same work."""

from collections import Counter
from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus

from hooktune.tracking import Tracker


def points(client: MlflowClient, run_id: str) -> Counter[tuple[str, int, float]]:
    """All metric points of a run, but for the seconds that it took."""
    names = set(client.get_run(run_id).data.metrics) - {"fit_seconds"}
    return Counter(
        (name, point.step, round(point.value, 6))
        for name in names
        for point in client.get_metric_history(run_id, name)
    )


def state(uri: str, method: str) -> dict:
    """What a store holds of a method, in words that are the same for the same work."""
    tracker, client = Tracker(uri), MlflowClient(uri)
    (iteration,) = tracker.iterations(method)
    runs = tracker.runs(iteration)
    experiment = client.get_experiment(iteration.experiment_id)
    initial = client.get_experiment_by_name("iteration / initial")
    initial_runs = [
        run
        for run in client.search_runs([initial.experiment_id], max_results=1000)
        if run.data.tags.get("hooktune.method") == method
    ]
    models = {run.info.run_id: "initial" for run in initial_runs} | {
        run.run_id: run.name for run in runs
    }
    found = []
    for logged in client.search_logged_models(
        [iteration.experiment_id, initial.experiment_id], max_results=1000
    ):
        if logged.source_run_id in models:
            ready = logged.status == LoggedModelStatus.READY
            found.append((models[logged.source_run_id], ready))
    return {
        "runs": sorted((run.name, run.status, run.failure) for run in runs),
        "initial": [run.info.status for run in initial_runs],
        "models": sorted(found),
        "best": next((run.name for run in runs if run.run_id == iteration.best_run), None),
        "improved": iteration.improved,
        "claims": [tag for tag in experiment.tags if tag.startswith("hooktune.claim.")],
        "points": sorted(
            (run.name, count, *point)
            for run in runs
            for point, count in points(client, run.run_id).items()
        ),
        "artifacts": sorted((run.name, path) for run in runs for path in files(client, run.run_id)),
    }


def files(client: MlflowClient, run_id: str, folder: str | None = None) -> Iterator[str]:
    """The artifacts of a run, with those in folders."""
    for artifact in client.list_artifacts(run_id, folder):
        yield from files(client, run_id, artifact.path) if artifact.is_dir else [artifact.path]
