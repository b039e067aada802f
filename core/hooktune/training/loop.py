"""The training loop that methods may use, so that a plugin can bring a loss alone."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from hooktune.contract.checkpoint import Checkpoint, State
from hooktune.contract.hooks import ActiveRun
from hooktune.contract.metric import MainMetric
from hooktune.contract.params import TrainingParams
from hooktune.contract.seeding import seeded
from hooktune.contract.sessions import Floats, Mask, Sessions, TrainingBatch
from hooktune.errors import PluginError, RequestError
from hooktune.training.encoder import Reader, TextEncoder
from hooktune.training.mini_batches import MiniBatch, mini_batches, step_count
from hooktune.training.optimizer import (
    adam_w,
    frozen,
    frozen_layer_count,
    lowest_layers,
    set_learning_rate,
)
from hooktune.training.precision import gains_from_bfloat16
from hooktune.training.process_group import ProcessGroup
from hooktune.training.scoring import mini_batch_scores
from hooktune.training.state import gather_state, restore_state

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

Loss = Callable[[Sessions, torch.Tensor], torch.Tensor]
"""Takes sessions that show R results altogether and a tensor of R cosine similarities, and returns
the one number to be made small. A mini-batch holds no session without a click unless the parameter
`use_irrelevant_sessions` is on."""

_SESSIONS_AT_ONCE = 2_048


def train(
    run: ActiveRun,
    model: "SentenceTransformer",
    batch: TrainingBatch,
    loss: Loss,
    params: TrainingParams,
) -> "SentenceTransformer":
    """Tune a model on a batch with a loss, tracking and evaluating as it goes.

    AdamW with warm-up and linear decay (Loshchilov & Hutter 2019, "Decoupled weight decay
    regularization"). Everything random follows `run.seed`; the global random state is left as it
    was.

    Args:
        run: Takes the figures of each step; its seed, main metric and wish to stop are followed.
        model: Is changed in place.
        batch: The training sessions.
        loss: What is made small.
        params: The hyper-parameters of the loop.

    Returns:
        The model, with the weights that had the best main metric of all evaluations; where there
        was no evaluation, or none had the metric, with the last ones.

    Raises:
        RequestError: No session can be learned from, or a parameter does not fit the model.
        PluginError: The loss became NaN or infinite, or is not one number.
    """
    learned = _learned_sessions(batch.train, params)
    steps_per_epoch = step_count(learned, params.mini_batch_size)
    steps = params.epochs * steps_per_epoch
    evaluated = _evaluated_steps(steps_per_epoch, params)
    best = _BestWeights(run.main_metric)
    lowest = lowest_layers(model, params.frozen_layers)
    run.expect_steps(steps)
    run.use_loss(_loss_of_scores(loss, params))
    with frozen(lowest), seeded(run.seed), _ending_in_eval_mode(model):
        optimizer = adam_w(model, params)
        done = best.resume(run.resumed(), model, optimizer)
        _set_mode(model, lowest, params.dropout)
        reader = _reader(model, batch, params)
        all_steps = enumerate(_all_steps(batch, learned, params, run.seed), start=1)
        for step, mini_batch in islice(all_steps, done, None):
            if run.should_stop():
                break
            scores = mini_batch_scores(reader, mini_batch)
            value = _loss_value(loss, mini_batch.sessions, scores, mini_batch.learned)
            run.log({"train_loss": _finite(value, step)}, step)
            run.log_scores(
                model,
                mini_batch.sessions,
                scores.detach().float().cpu().numpy(),
                mini_batch.baseline,
                step,
            )
            set_learning_rate(optimizer, step, steps, math.ceil(params.warmup_ratio * steps))
            _backward(value, params.accumulated_mini_batches)
            if step % params.accumulated_mini_batches == 0 or step == steps:
                _update(optimizer, params.max_grad_norm, reader.encoder.group)
            if step % steps_per_epoch in evaluated:
                metrics = run.evaluate(model, step)
                _set_mode(model, lowest, params.dropout)  # encoding has left it in eval mode
                best.consider(model, metrics)
                if best.evaluations_since == params.early_stopping_patience:
                    logger.info("stopped early at step %d of %d", step, steps)
                    break
            run.checkpoint(step, partial(best.state, model, optimizer))
        best.restore(model)
    return model


def _reader(model: "SentenceTransformer", batch: TrainingBatch, params: TrainingParams) -> Reader:
    depth = frozen_layer_count(model, params.frozen_layers)
    known = batch.encoder
    encoder = known if isinstance(known, TextEncoder) else TextEncoder(model, depth)
    reader = encoder.reader(model, depth)
    is_auto = params.precision == "auto"
    precision = "bfloat16" if is_auto and gains_from_bfloat16(model.device) else params.precision
    return replace(reader, in_bfloat16=precision == "bfloat16")


def _learned_sessions(sessions: Sessions, params: TrainingParams) -> Mask:
    learned = sessions.not_irrelevant
    if not learned.any():
        raise RequestError(
            f"None of the {len(sessions)} training sessions has a click, so that there is nothing "
            "to learn from. Release a batch with clicked sessions."
        )
    return np.ones_like(learned) if params.use_irrelevant_sessions else learned


def _all_steps(
    batch: TrainingBatch, learned: Mask, params: TrainingParams, seed: int
) -> Iterator[MiniBatch]:
    random = np.random.default_rng(seed)
    for _ in range(params.epochs):
        yield from mini_batches(
            batch, learned, params.mini_batch_size, params.negatives_per_session, random
        )


def _evaluated_steps(steps_per_epoch: int, params: TrainingParams) -> set[int]:
    """Return after which steps of an epoch the test sessions are measured; 0 is the last one."""
    count = min(params.evaluations_per_epoch, steps_per_epoch)
    return {round(part * steps_per_epoch / count) % steps_per_epoch for part in range(1, count + 1)}


def _loss_value(
    loss: Loss, sessions: Sessions, scores: torch.Tensor, learned: Mask
) -> torch.Tensor:
    """Return the loss of the sessions that are learned from."""
    if not learned.all():
        places = sessions.result_places(np.flatnonzero(learned))
        sessions, scores = (
            sessions.take(learned),
            scores[torch.from_numpy(places).to(scores.device)],
        )
    value = loss(sessions, scores)
    if value.ndim:
        raise PluginError(f"The loss must be one number; its shape is {tuple(value.shape)}.")
    return value


def _finite(value: torch.Tensor, step: int) -> float:
    number = value.item()
    if not math.isfinite(number):
        raise PluginError(
            f"The loss became {number} at step {step}. A lower learning_rate may help."
        )
    return number


def _backward(value: torch.Tensor, accumulated: int) -> None:
    if value.requires_grad:  # otherwise no pair of this mini-batch counted
        (value / accumulated).backward()  # type: ignore[no-untyped-call]


def _update(optimizer: torch.optim.Optimizer, max_norm: float, group: ProcessGroup) -> None:
    weights = [weight for each in optimizer.param_groups for weight in each["params"]]
    group.add_gradients(weights)
    if all(weight.grad is None for weight in weights):
        return
    nn.utils.clip_grad_norm_(weights, max_norm)
    optimizer.step()
    optimizer.zero_grad()


def _loss_of_scores(loss: Loss, params: TrainingParams) -> Callable[[Sessions, Floats], float]:
    """Return the loss as a function of plain numbers: a mean over sessions, NaN for no session."""

    def loss_of_scores(sessions: Sessions, scores: Floats) -> float:
        places = np.arange(len(sessions))
        if not params.use_irrelevant_sessions:
            places = places[sessions.not_irrelevant]
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(places), _SESSIONS_AT_ONCE):
                part = places[start : start + _SESSIONS_AT_ONCE]
                part_scores = torch.from_numpy(scores[sessions.result_places(part)])
                total += len(part) * loss(sessions.take(part), part_scores).item()
        return total / len(places) if len(places) else math.nan

    return loss_of_scores


def _set_mode(model: "SentenceTransformer", lowest: list[nn.Module], dropout: bool) -> None:
    model.train(dropout)
    for module in lowest:
        module.eval()


@contextmanager
def _ending_in_eval_mode(model: "SentenceTransformer") -> Iterator[None]:
    try:
        yield
    finally:
        model.eval()
        model.zero_grad()


@dataclass
class _BestWeights:
    """The trainable weights of the best evaluation, kept in the computer's own memory."""

    main_metric: MainMetric
    value: float | None = None
    evaluations_since: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def consider(self, model: "SentenceTransformer", metrics: dict[str, float]) -> None:
        value = metrics.get(self.main_metric.name)
        if not self.main_metric.beats(value, self.value):
            self.evaluations_since += 1
            return
        self.value, self.evaluations_since = value, 0
        self.weights = {
            name: weight.detach().to("cpu", copy=True)
            for name, weight in model.named_parameters()
            if weight.requires_grad
        }

    def state(self, model: "SentenceTransformer", optimizer: torch.optim.Optimizer) -> State:
        """Return all that training has changed so far."""
        facts = {"best_value": self.value, "evaluations_since": self.evaluations_since}
        return gather_state(model, optimizer, self.weights, facts)

    def resume(
        self,
        checkpoint: Checkpoint | None,
        model: "SentenceTransformer",
        optimizer: torch.optim.Optimizer,
    ) -> int:
        """Put back what `state` returned, and return how many steps were done; 0 without any."""
        if checkpoint is None:
            return 0
        self.weights = restore_state(checkpoint, model, optimizer)
        self.value = checkpoint.facts["best_value"]
        self.evaluations_since = checkpoint.facts["evaluations_since"]
        return checkpoint.step

    def restore(self, model: "SentenceTransformer") -> None:
        current = dict(model.named_parameters())
        with torch.no_grad():
            for name, weight in self.weights.items():
                current[name].copy_(weight)
