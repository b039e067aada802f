"""The Query Map Method: a linear map of queries' embeddings; items, and so the index, stay."""

from typing import TYPE_CHECKING

from hooktune import ActiveRun, MainMetric, RequestError, TrainingBatch, hookimpl
from hooktune_query_map.params import Params

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@hookimpl
def hyper_parameters() -> type[Params]:
    """Return the parameters that say how far the map may go."""
    return Params


@hookimpl
def main_metric() -> MainMetric:
    """Be judged by the gap, since turning queries lowers all their similarities alike."""
    return MainMetric("test_dist_shift_gap")


@hookimpl
def fit_batch(
    run: ActiveRun, model: "SentenceTransformer", batch: TrainingBatch, params: Params
) -> "SentenceTransformer":
    """Learn a map, and give it to the model in the place of the one that it has."""
    # Imported here, as torch is, so that importing the plugin stays quick.
    from hooktune_query_map.tuning import tune

    if not batch.train.not_irrelevant.any():
        raise RequestError(
            f"None of the {len(batch.train)} training sessions has a click, so that there is "
            "nothing to learn from. Release a batch with clicked sessions."
        )
    return tune(run, model, batch.train, params)
