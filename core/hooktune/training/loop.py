"""The training loop that methods may use, so that a plugin can bring a loss alone.

It consists of public parts, which a method with a loop of its own puts together in its own way.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from hooktune.contract.active_run import ActiveRun
from hooktune.contract.encoding import Reader
from hooktune.contract.params import TrainingParams
from hooktune.contract.seeding import seeded
from hooktune.contract.sessions import Floats, Sessions, TrainingBatch
from hooktune.errors import PluginError
from hooktune.training.best_weights import BestWeights
from hooktune.training.losses import Loss, learned_loss, loss_of_scores
from hooktune.training.mini_batches import MiniBatch, MiniBatchLoader
from hooktune.training.optimizer import (
    adam_w,
    frozen_layer_count,
    gradient_step,
    set_learning_rate,
    training_mode,
)
from hooktune.training.precision import gains_from_bfloat16
from hooktune.training.scoring import mini_batch_scores
from hooktune.training.starting_weights import StartingWeights
from hooktune.training.state import gather_state, restore_state

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LearnedStep:
    """What a training step comes to: its loss, and what it has scored on the way."""

    loss: torch.Tensor
    """One number, with its gradient."""
    sessions: Sessions
    """The sessions of which metrics are tracked; they show R results altogether."""
    scores: torch.Tensor
    """R similarities, as they were before the step's change."""
    baseline: Floats
    """R similarities before tuning."""


StepLoss = Callable[[Reader, MiniBatch], LearnedStep]
"""Encodes a mini-batch by the model in training, and returns what the step comes to."""


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
        run: Takes the metrics of each step; its seed, main metric and wish to stop are followed.
        model: Is changed in place.
        batch: The training sessions.
        loss: What is made small.
        params: The hyper-parameters of the loop.

    Returns:
        The model, with the weights that had the best main metric of all evaluations; where there
        was no evaluation, or none had the metric, with the last ones. What is measured and
        returned keeps `params.weights_kept` of what training has changed.

    Raises:
        RequestError: No session can be learned from, or a parameter does not fit the model.
        PluginError: The loss became NaN or infinite, or is not one number.
    """
    loader = MiniBatchLoader(batch, params, run.seed)
    run.use_loss(loss_of_scores(loss, params))
    return train_steps(run, model, loader, partial(_loss_of_mini_batch, loss), params)


def _loss_of_mini_batch(loss: Loss, reader: Reader, mini_batch: MiniBatch) -> LearnedStep:
    scores = mini_batch_scores(reader, mini_batch)
    value = learned_loss(loss, mini_batch, scores)
    return LearnedStep(value, mini_batch.sessions, scores, mini_batch.baseline)


def train_steps(
    run: ActiveRun,
    model: "SentenceTransformer",
    loader: MiniBatchLoader,
    step_loss: StepLoss,
    params: TrainingParams,
) -> "SentenceTransformer":
    """Do what `train` does with a loss that needs more than the scores: embeddings.

    Args:
        run: As for `train`; the loss of evaluations is left to the caller (`run.use_loss`).
        model: Is changed in place.
        loader: The mini-batches.
        step_loss: Makes the loss of each, and the scores that are tracked.
        params: The hyper-parameters of the loop.

    Returns:
        The model, as from `train`.

    Raises:
        RequestError: A parameter does not fit the model.
        PluginError: The loss became NaN or infinite.
    """
    steps = len(loader)
    best = BestWeights(run.main_metric)
    run.expect_steps(steps)
    with training_mode(model, params), seeded(run.seed):
        optimizer = adam_w(model, params)
        start = StartingWeights(model, params.weights_kept)
        done = restore_state(run.resumed(), model, optimizer, best)
        reader = make_reader(run, model, params)
        for step, mini_batch in loader.steps(after=done):
            if run.should_stop():
                break
            learned = step_loss(reader, mini_batch)
            run.log({"train_loss": _finite(learned.loss, step)}, step)
            run.log_scores(
                model,
                learned.sessions,
                learned.scores.detach().float().cpu().numpy(),
                learned.baseline,
                step,
            )
            set_learning_rate(optimizer, step, steps, params.warmup_ratio)
            gradient_step(run, optimizer, learned.loss, step, steps, params)
            if loader.is_evaluated(step):
                with start.partly_back(model):
                    best.consider(model, run.evaluate(model, step))
                if best.evaluations_since == params.early_stopping_patience:
                    logger.info("stopped early at step %d of %d", step, steps)
                    break
            run.checkpoint(step, partial(gather_state, model, optimizer, best))
        start.bring_back(model)
        best.load_into(model)
    return model


def make_reader(run: ActiveRun, model: "SentenceTransformer", params: TrainingParams) -> Reader:
    """Prepare to encode mini-batches by a model that is trained above its frozen layers.

    What the frozen layers make of a text is kept for the whole iteration.

    Args:
        run: The run at work, whose encoder is used.
        model: The model in training, with the weights that it has now.
        params: `frozen_layers` and `precision` are read.
    """
    is_auto = params.precision == "auto"
    precision = "bfloat16" if is_auto and gains_from_bfloat16(model.device) else params.precision
    return run.encoder.reader(
        model,
        frozen_layer_count(model, params.frozen_layers),
        in_bfloat16=precision == "bfloat16",
    )


def _finite(value: torch.Tensor, step: int) -> float:
    number = value.item()
    if not math.isfinite(number):
        raise PluginError(
            f"The loss became {number} at step {step}. A lower learning_rate may help."
        )
    return number
