"""What all runs of an iteration start from and are compared with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hooktune.contract.params import TrainingParams
from hooktune.contract.sessions import Batch, TrainingBatch
from hooktune.contract.settings import IterationSettings, Split
from hooktune.errors import RequestError
from hooktune.evaluation.evaluator import Evaluator
from hooktune.evaluation.similarities import Similarities, count_similarities
from hooktune.plugin.host import Host
from hooktune.training.encoder import TextEncoder
from hooktune.training.optimizer import frozen_layer_count
from hooktune.training.scoring import score_results

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True, eq=False)
class StartingPoint:
    """What all runs of an iteration start from and are compared with."""

    training: TrainingBatch
    evaluator: Evaluator
    encoder: TextEncoder
    """Encodes by the starting model, and by those that are tuned from it."""
    metrics: dict[str, float]
    """Those of the starting model on the test sessions."""
    similarities: Similarities
    """As the starting model sees the test sessions."""


def measure_starting_point(
    host: Host,
    batch: Batch,
    split: Split,
    settings: IterationSettings,
    encoder: TextEncoder,
) -> StartingPoint:
    """Measure the starting model: the baseline of all runs.

    Args:
        host: The plugins that compute metrics.
        batch: The released batch.
        split: Which of its sessions are trained on, and which are held out.
        settings: What the iteration is about.
        encoder: Encodes by the starting model, and keeps what it finds for the runs.

    Raises:
        RequestError: No plugin computes the main metric.
    """
    model, sessions = encoder.model, batch.sessions
    train, test = split
    scores = score_results(model, sessions, encoder, title="the starting model")
    baseline = scores if settings.baseline == "starting" else sessions.rank
    in_test_results = sessions.result_places(test)
    measure = Evaluator(host, sessions.take(test), baseline[in_test_results], encoder)
    metrics = measure.of_scores(model, scores[in_test_results])
    main = settings.main_metric.name
    if main not in metrics and main != "test_loss":
        raise RequestError(
            f"No plugin computes the main metric {main!r} on this batch. There are: "
            f"{', '.join(sorted(metrics))}."
        )
    training = TrainingBatch(
        batch.batch_id, sessions.take(train), baseline[sessions.result_places(train)], encoder
    )
    similarities = count_similarities(measure.sessions, scores[in_test_results])
    return StartingPoint(training, measure, encoder, metrics, similarities)


def always_frozen(model: "SentenceTransformer", candidates: "list[BaseModel | None]") -> int:
    """Return how many of a model's lowest layers none of the runs is going to train."""
    depths = [
        frozen_layer_count(model, each.frozen_layers) if isinstance(each, TrainingParams) else 0
        for each in candidates
    ]
    return min(depths)
