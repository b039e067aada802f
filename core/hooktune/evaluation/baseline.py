"""What all runs of an iteration start from and are compared with."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from hooktune.contract.collection_metrics import is_of_collection
from hooktune.contract.metric import (
    DEFAULT_GUARDS,
    JUDGED_METRIC,
    LOSS,
    TEST_PREFIX,
    with_test_prefix,
)
from hooktune.contract.params import TrainingParams
from hooktune.contract.sessions import Batch, Floats, Sessions, TrainingBatch
from hooktune.contract.settings import IterationSettings, Split
from hooktune.errors import RequestError, did_you_mean
from hooktune.evaluation.collection import Collection, JudgedQueries
from hooktune.evaluation.evaluator import Evaluation, Evaluator
from hooktune.evaluation.movement import footprint
from hooktune.evaluation.shared_baseline import embed_at_start
from hooktune.plugin.host import Host
from hooktune.progress import phase
from hooktune.training.encoder import TextEncoder
from hooktune.training.images import check_reads_images
from hooktune.training.optimizer import frozen_layer_count
from hooktune.training.scoring import scores_of

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer

_PROBED: Final = 1000
"""Sessions at most, of which it is asked which metrics there are."""


@dataclass(frozen=True, eq=False)
class StartingPoint:
    """What all runs of an iteration start from and are compared with."""

    training: TrainingBatch
    evaluator: Evaluator
    encoder: TextEncoder
    """Encodes by the starting model, and by those that are tuned from it."""
    evaluation: Evaluation
    """That of the starting model on the test sessions."""
    scores: Floats
    """The starting model's similarity for each result of the test sessions."""


def measure_starting_point(
    host: Host,
    batch: Batch,
    split: Split,
    settings: IterationSettings,
    encoder: TextEncoder,
    judged: JudgedQueries | None = None,
) -> StartingPoint:
    """Measure the starting model: the baseline of all runs.

    Args:
        host: The plugins that compute metrics.
        batch: The released batch.
        split: Which of its sessions are trained on, and which are held out.
        settings: What the iteration is about.
        encoder: Encodes by the starting model, and keeps what it finds for the runs.
        judged: Judged queries to measure by as well, if there are any.

    Raises:
        RequestError: No plugin computes the main metric, or the model does not read the images of
            the batch; told before anything is encoded.
    """
    model, sessions = encoder.model, batch.sessions
    check_reads_images(model, sessions.queries, sessions.items)
    probed = sessions.take(split.test[:_PROBED])
    _check_main_metric(host, settings.main_metric.name, model, probed)
    main = settings.main_metric.name
    collection = Collection(sessions.take(split.test), encoder, judged, settings.seed)
    embedded = embed_at_start(collection, encoder, sessions, batch.batch_id)
    scores = scores_of(sessions, embedded.queries, embedded.items)
    baseline = scores if settings.baseline == "starting" else sessions.rank
    test, (test_baseline, test_scores) = sessions.take_with(split.test, baseline, scores)
    evaluator = Evaluator(host, test, test_baseline, encoder, collection, is_of_collection(main))
    evaluation = evaluator.in_full(model, test_scores)
    if encoder.group.leads:  # as the others, which have no use for it, would slow it down
        found = collection.search(embedded)
        evaluation = evaluator.with_found(evaluation, embedded, found)
        evaluator = replace(evaluator, start=footprint(collection, embedded, found))
        _check_metrics(settings, evaluation)
    train, (train_baseline,) = sessions.take_with(split.train, baseline)
    training = TrainingBatch(batch.batch_id, train, train_baseline)
    return StartingPoint(training, evaluator, encoder, evaluation, test_scores)


def _check_main_metric(
    host: Host, main: str, model: "SentenceTransformer", sessions: Sessions
) -> None:
    """Refuse a main metric that nobody describes, nor computes for made-up scores.

    That takes no time, while the baseline may take hours to encode.
    """
    described = {f"{TEST_PREFIX}{name}" for name in host.describe_metrics()}
    if main in described or is_of_collection(main):
        return
    made_up = np.random.default_rng(0).uniform(-1, 1, (2, sessions.result_count))
    scores, baseline = made_up.astype(np.float32)
    with phase("looking for the main metric", len(sessions)):
        measured = host.compute_metrics(model, sessions, scores, baseline)
    computed = with_test_prefix(measured.metrics)
    if main not in computed:
        raise _not_computed(main, {*described, *computed})


def _check_metrics(settings: IterationSettings, evaluation: Evaluation) -> None:
    """Refuse a main metric that is not computed here, and a guard that has no interval."""
    if settings.main_metric.name not in {*evaluation.metrics, *with_test_prefix({LOSS: 0.0})}:
        raise _not_computed(settings.main_metric.name, evaluation.metrics)
    known = [*(evaluation.per_session or {})]
    if evaluation.per_judged_query is not None:
        known.append(JUDGED_METRIC)
    for guard in settings.guard:
        if guard not in DEFAULT_GUARDS and guard.name not in known:
            raise _not_a_guard(guard.name, known)


def _not_computed(main: str, known: Iterable[str]) -> RequestError:
    # All of them too: the prefix that they share makes any of them look near to a wrong one.
    nearest, all_known = did_you_mean(main, known), did_you_mean("", known)
    hint = all_known if nearest == all_known else f"{nearest} {all_known}"
    return RequestError(f"No plugin computes the main metric {main!r} on this batch. {hint}")


def _not_a_guard(name: str, known: Iterable[str]) -> RequestError:
    return RequestError(
        f"No plugin computes {name!r} for each session of this batch, so that it has no interval "
        f"and cannot be a guard. {did_you_mean(name, known)}"
    )


def always_frozen(model: "SentenceTransformer", candidates: "list[BaseModel | None]") -> int:
    """Return how many of a model's lowest layers none of the runs is going to train."""
    depths = [
        frozen_layer_count(model, params.frozen_layers) if isinstance(params, TrainingParams) else 0
        for params in candidates
    ]
    return min(depths)
