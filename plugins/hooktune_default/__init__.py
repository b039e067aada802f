"""The Default Fine Tuning Method: queries find what was clicked, and not what was not."""

from typing import TYPE_CHECKING

from hooktune import ActiveRun, TrainingBatch, hookimpl
from hooktune_default.params import Params

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@hookimpl
def hyper_parameters() -> type[Params]:
    """Return the parameters of the training loop and those of its losses."""
    return Params


@hookimpl
def fit_batch(
    run: ActiveRun, model: "SentenceTransformer", batch: TrainingBatch, params: Params
) -> "SentenceTransformer":
    """Train the model, and give its queries a map on top."""
    # Imported here, as torch is, so that importing the plugin stays quick.
    from hooktune_default.tuning import tune

    return tune(run, model, batch, params)
