"""What the batches of iterations looked like, as MLflow holds it."""

from typing import TYPE_CHECKING, Final

from hooktune.tracking import queries
from hooktune.tracking.records import Iteration

if TYPE_CHECKING:
    from mlflow import MlflowClient

SUMMARY_TAG: Final = "hooktune.batch_summary"


def record_summary(client: "MlflowClient", iteration: Iteration, text: str) -> None:
    """Record what the batch of an iteration looks like."""
    client.set_experiment_tag(iteration.experiment_id, SUMMARY_TAG, text)


def last_summary(client: "MlflowClient", method: str) -> str | None:
    """Return what was recorded of the batch of a method's last finished iteration."""
    last = queries.last_finished(client, method)
    if last is None:
        return None
    found: str | None = client.get_experiment(last.experiment_id).tags.get(SUMMARY_TAG)
    return found
