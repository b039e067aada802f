"""The Default Fine Tuning Method: rank what was clicked over what was not."""

from functools import partial
from typing import TYPE_CHECKING

from hooktune import ActiveRun, RequestError, Sessions, TrainingBatch, hookimpl
from hooktune_default.params import Params

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@hookimpl
def hyper_parameters() -> type[Params]:
    """Return the parameters of the training loop and those of the loss."""
    return Params


@hookimpl
def fit_batch(
    run: ActiveRun, model: "SentenceTransformer", batch: TrainingBatch, params: Params
) -> "SentenceTransformer":
    """Train the model with `ranking_loss`."""
    # Imported here, as torch is, so that importing the plugin stays quick.
    from hooktune import train
    from hooktune_default.loss import ranking_loss

    _check_that_something_can_be_ranked(batch.train)
    return train(run, model, batch, partial(ranking_loss, params), params)


def _check_that_something_can_be_ranked(sessions: Sessions) -> None:
    clicks = sessions.sum_per_session(sessions.clicked)
    if not ((clicks > 0) & (clicks < sessions.lengths)).any():
        raise RequestError(
            f"None of the {len(sessions)} training sessions has both a clicked and a not clicked "
            "result, so that there is nothing to rank. Release a log with all results that were "
            "shown."
        )
