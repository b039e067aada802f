"""The trainer of sentence-transformers for hooktune, with MultipleNegativesRankingLoss.

For those who have such training code: its metrics reach hooktune through a callback, and hooktune
measures, tracks and chooses among its models as it does for every method.
"""

import math
import tempfile
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hooktune import RequestError, SearchChoices, SearchRange, hookimpl, seeded

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
    from transformers import TrainerCallback

    from hooktune import ActiveRun, Sessions, TrainingBatch

ROUTES = {"query": "query", "item": "document"}
"""How the columns of the training data are encoded."""


class Params(BaseModel):
    """The hyper-parameters that are handed on to the trainer."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(
        default=1, ge=1, le=1000, description="How often all clicked results are gone through."
    )
    mini_batch_size: Annotated[int, SearchChoices((16, 32, 64))] = Field(
        default=32,
        ge=2,
        le=4096,
        description="Pairs of query and clicked item in a step; each item is the negative of all "
        "other queries.",
    )
    learning_rate: Annotated[float, SearchRange(1e-5, 1e-4, log=True)] = Field(
        default=3e-5, gt=0, le=1, description="The peak learning rate of AdamW."
    )
    warmup_ratio: float = Field(
        default=0.1, ge=0, lt=1, description="The share of all steps in which the rate rises."
    )
    evaluations: int = Field(
        default=2, ge=0, le=1000, description="How often the test sessions are measured meanwhile."
    )


@hookimpl
def hyper_parameters() -> type[Params]:
    """Return the class of the hyper-parameters."""
    return Params


@hookimpl
def fit_batch(
    run: "ActiveRun", model: "SentenceTransformer", batch: "TrainingBatch", params: Params
) -> "SentenceTransformer":
    """Train the model with the trainer of sentence-transformers."""
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import PrinterCallback

    class Trainer(SentenceTransformerTrainer):
        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """Add none: the card would quote what users searched."""

    pairs = clicked_pairs(batch.train)
    # The trainer seeds the generators of the whole process; `seeded` puts them back.
    with tempfile.TemporaryDirectory(prefix="hooktune-") as folder, seeded(run.seed):
        trainer = Trainer(
            model=model,
            args=training_arguments(folder, run.seed, model, len(pairs), params),
            train_dataset=pairs,
            loss=MultipleNegativesRankingLoss(model),
            callbacks=[tracking(run, model, params.evaluations)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.eval()
    return model


def clicked_pairs(sessions: "Sessions") -> "Dataset":
    """Return each clicked result as a pair of a query and an item.

    Raises:
        RequestError: Nothing was clicked.
    """
    from datasets import Dataset

    clicked = sessions.clicked
    if not clicked.any():
        raise RequestError("Nothing was clicked in the training sessions, so there are no pairs.")
    query_of = sessions.query_index[sessions.session_index]
    return Dataset.from_dict(
        {
            "query": sessions.queries.take(query_of[clicked]).to_pylist(),
            "item": sessions.items.take(sessions.item_index[clicked]).to_pylist(),
        }
    )


def training_arguments(
    folder: str, seed: int, model: "SentenceTransformer", pair_count: int, params: Params
) -> "SentenceTransformerTrainingArguments":
    """Return arguments by which the trainer stores and reports nothing itself."""
    from sentence_transformers import SentenceTransformerTrainingArguments
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers

    steps = params.epochs * math.ceil(pair_count / params.mini_batch_size)
    on_cpu = model.device.type == "cpu"
    is_asymmetric = any(isinstance(module, Router) for module in model)
    prompts = {column: model.prompts.get(route) for column, route in ROUTES.items()}
    return SentenceTransformerTrainingArguments(
        output_dir=folder,
        num_train_epochs=params.epochs,
        per_device_train_batch_size=params.mini_batch_size,
        learning_rate=params.learning_rate,
        # Rounded down, since the rate is zero in the first step of a warm-up.
        warmup_steps=int(params.warmup_ratio * steps),
        # A query that stands in a mini-batch twice would have its own click as a negative.
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        prompts={column: prompt for column, prompt in prompts.items() if prompt} or None,
        router_mapping=ROUTES if is_asymmetric else None,
        seed=seed,
        save_strategy="no",
        report_to="none",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
    )


def tracking(run: "ActiveRun", model: "SentenceTransformer", evaluations: int) -> "TrainerCallback":
    """Make the callback that connects a trainer with a run.

    Args:
        run: The run that takes the metrics.
        model: The model in training.
        evaluations: How often to measure it before the end.
    """
    from transformers import TrainerCallback

    class Tracking(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            run.expect_steps(state.max_steps)

        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any
        ) -> None:
            if "loss" in logs:
                metrics = {"train_loss": logs["loss"], "learning_rate": logs["learning_rate"]}
                run.log(metrics, state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if run.should_stop():
                control.should_training_stop = True
            elif state.global_step % math.ceil(state.max_steps / (evaluations + 1)) == 0:
                run.evaluate(model, state.global_step)

    return Tracking()
