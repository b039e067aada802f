"""From a batch to a model with a map: what is learned, and how much of it is taken on."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch

from hooktune import ActiveRun, Sessions
from hooktune_query_map.evidence import gather_evidence
from hooktune_query_map.fit import OnEpoch, Part, Stopped, fit_map, parts_of
from hooktune_query_map.losses import Evidence
from hooktune_query_map.params import Params
from hooktune_query_map.router import map_of, put_map, without_map
from hooktune_query_map.validation import FIXED_STEP, Fit, cross_validate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_L2_OF_A_QUERY: Final = 5.0
_QUERIES_TO_CHOOSE_A_STEP: Final = 100


def tune(
    run: ActiveRun, model: "SentenceTransformer", sessions: Sessions, params: Params
) -> "SentenceTransformer":
    """Learn a map of queries from clicks, and give it to a model.

    Args:
        run: Takes the losses of each epoch; its seed and the wish to stop are followed.
        model: Is given the map, in the place of the one that it has.
        sessions: The training sessions, one of which has a click at least.
        params: How far the map may go.

    Returns:
        The model; as it was where the user has asked to stop, or a map would do it no good.
    """

    def watch(metric: str, loss: float, step: int) -> None:
        run.log({metric: loss}, step)

    evidence, start = evidence_of(run, model, sessions)
    run.expect_steps(step_count(evidence, params))
    try:
        learned = learn_map(run, evidence, start, params, watch)
    except Stopped:
        return model
    if learned.weight is not None:
        run.log({"step_taken": learned.taken}, learned.steps, accumulate=())
        give_map(model, learned.weight)
    run.evaluate(model, learned.steps)
    return model


def evidence_of(
    run: ActiveRun, model: "SentenceTransformer", sessions: Sessions
) -> tuple[Evidence, torch.Tensor]:
    """Return what a map for a model is learned from, and W of the map that it has, D x D.

    Raises:
        PluginError: The embeddings of queries and items are of different lengths.
    """
    evidence = gather_evidence(run.encoder.reader(without_map(model).eval()), sessions)
    identity = torch.eye(evidence.items.shape[1], device=evidence.items.device)
    before = map_of(model)
    if before is None:
        return evidence, torch.zeros_like(identity)
    return evidence, before.to(identity)[: len(identity), : len(identity)] - identity


def give_map(model: "SentenceTransformer", weight: torch.Tensor) -> None:
    """Give a model the map `q' = norm(q + q W)`, in the place of the one that it has.

    Raises:
        PluginError: The model makes embeddings of fewer numbers, or does not tell of how many.
    """
    put_map(model, torch.eye(len(weight), device=weight.device) + weight)


@dataclass(frozen=True, eq=False)
class Learned:
    """What came of learning a map."""

    weight: torch.Tensor | None
    """W, D x D; None to keep the map that the model has, or to give it none."""
    taken: float = 0.0
    """How far W goes from the map that the model has to the one that was learned."""
    steps: int = 0
    """How many steps the training took."""


def learn_map(
    run: ActiveRun,
    evidence: Evidence,
    start: torch.Tensor,
    params: Params,
    on_epoch: OnEpoch = lambda *_: None,
) -> Learned:
    """Choose how far to go from the map that the model has to one learned now, and learn that.

    The two are averaged, so that the whole stays as near to the identity as each of them, however
    often a model is tuned.

    Args:
        run: Its seed and the wish to stop are followed.
        evidence: What was clicked.
        start: W of the map that the model has, D x D.
        params: How far the map may go.
        on_epoch: Is told how each epoch went.

    Raises:
        Stopped: The user has asked to stop.
    """

    def ask(*_: object) -> None:
        if run.should_stop():
            raise Stopped

    def watch(metric: str, loss: float, step: int) -> None:
        ask()
        on_epoch(metric, loss, step)

    def fit(known: Evidence, on_epoch: OnEpoch) -> torch.Tensor:
        return fit_map(known, _parts(known, params, run.seed), run.seed, on_epoch)

    ask()
    taken = _chosen_step(evidence, start, lambda known: fit(known, ask), run.seed, params)
    if taken == 0:
        return Learned(None)
    weight = start + taken * (fit(evidence, watch) - start)
    return Learned(weight, taken, step_count(evidence, params))


def step_count(evidence: Evidence, params: Params) -> int:
    """Return how many steps it takes to learn a map."""
    return sum(part.steps for part in _parts(evidence, params, seed=0))


def _parts(evidence: Evidence, params: Params, seed: int) -> tuple[Part, ...]:
    l2 = max(params.l2, _L2_OF_A_QUERY / len(evidence))
    return parts_of(evidence, l2, params.attraction, params.epochs, seed)


def _chosen_step(
    evidence: Evidence, start: torch.Tensor, fit: Fit, seed: int, params: Params
) -> float:
    """Return how much of a map to take on; 0 to keep what the model has."""
    queries = len(evidence)
    step = FIXED_STEP if params.step == "auto" else params.step
    if queries < params.min_queries:
        helps = queries > 1 and cross_validate(evidence, start, fit, seed).gains_clearly(step)
        if not helps:
            logger.warning(
                "the model is kept as it is: %d training queries have a click, a query map needs "
                "%d, and one learned from so few does not clearly rank the clicks of held-out "
                "ones better",
                queries,
                params.min_queries,
            )
        return step if helps else 0.0
    if params.step != "auto" or queries < _QUERIES_TO_CHOOSE_A_STEP:
        return step
    step = cross_validate(evidence, start, fit, seed).best_step()
    if step == 0:
        logger.warning(
            "the model is kept as it is: it ranks the clicks of held-out training queries clearly "
            "better than with a query map"
        )
    return step
