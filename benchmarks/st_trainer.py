"""The trainer of sentence-transformers on the triplets of the same sessions.

A triplet is a query, a clicked and a not clicked result of one session; all of them are taken, as
the pairs of the method's loss are. The loss is MultipleNegativesRankingLoss, which is what its
documentation recommends for triplets. Nothing is stored, reported or evaluated.
"""

import logging
import tempfile
from typing import Any

from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from transformers import PrinterCallback, TrainerCallback

from hooktune import Sessions, seeded
from hooktune_default.loss import clicked_other_pairs
from measuring import Pace

TRIPLETS_IN_STEP = 16
LEARNING_RATE = 2e-5


class _Trainer(SentenceTransformerTrainer):
    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Add none: the card is work that no other contender does."""


class _Pacing(TrainerCallback):
    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        self.pace.step()
        control.should_training_stop = control.should_training_stop or self.pace.over


def triplets(sessions: Sessions) -> Dataset:
    """Return all triplets of a query, a clicked and a not clicked result of one session."""
    clicked, other = clicked_other_pairs(sessions)
    query_of = sessions.query_index[sessions.session_index[clicked]]
    return Dataset.from_dict(
        {
            "query": sessions.queries.take(query_of).to_pylist(),
            "clicked": sessions.items.take(sessions.item_index[clicked]).to_pylist(),
            "other": sessions.items.take(sessions.item_index[other]).to_pylist(),
        }
    )


def train_with_trainer(
    model: SentenceTransformer, sessions: Sessions, pace: Pace, epochs: int = 1
) -> float:
    """Train a model; return how many sessions, all of whose triplets count as one, it has seen."""
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    rows = triplets(sessions)
    on_cpu = model.device.type == "cpu"
    # A query that stands in a mini-batch twice has its own click as a negative. With fewer queries
    # than triplets in a step, that cannot be had without smaller steps.
    can_be_distinct = len(set(rows["query"])) >= TRIPLETS_IN_STEP
    sampler = BatchSamplers.NO_DUPLICATES if can_be_distinct else BatchSamplers.BATCH_SAMPLER
    with tempfile.TemporaryDirectory() as folder, seeded(0):
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=TRIPLETS_IN_STEP,
            learning_rate=LEARNING_RATE,
            warmup_steps=0.1,
            batch_sampler=sampler,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=on_cpu,
            dataloader_pin_memory=not on_cpu,
        )
        trainer = _Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            loss=MultipleNegativesRankingLoss(model),
            callbacks=[_Pacing(pace)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.eval()
    return len(sessions) * min(pace.steps * TRIPLETS_IN_STEP / len(rows), epochs)
