"""LoRA for hooktune: low-rank adapters are trained in hooktune's loop and merged into the model.

Hu et al. 2021, "LoRA: low-rank adaptation of large language models".
"""

from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hooktune import SearchChoices, SearchRange, TrainingParams, hookimpl

if TYPE_CHECKING:
    import torch
    from peft import LoraModel
    from sentence_transformers import SentenceTransformer

    from hooktune import ActiveRun, Sessions, TrainingBatch


class Params(
    TrainingParams,
    defaults={"learning_rate": 5e-4, "frozen_layers": 0},
    search={"learning_rate": SearchRange(2e-4, 2e-3, log=True)},
):
    """The hyper-parameters: those of the training loop, other defaults, and those of LoRA."""

    rank: Annotated[int, SearchChoices((4, 8, 16))] = Field(
        default=8,
        ge=1,
        le=1024,
        description="The rank of an adapter. A higher one can learn more and takes more memory.",
    )
    scale: float = Field(
        default=2.0, gt=0, le=100, description="What an adapter's output is multiplied by."
    )
    temperature: float = Field(
        default=0.05,
        ge=0.02,
        le=10,
        description="How sharply the results of a session compete.",
    )


@hookimpl
def hyper_parameters() -> type[Params]:
    """Return the class of the hyper-parameters."""
    return Params


@hookimpl
def fit_batch(
    run: "ActiveRun", model: "SentenceTransformer", batch: "TrainingBatch", params: Params
) -> "SentenceTransformer":
    """Train adapters of the model's transformers, and merge them."""
    from hooktune import train

    adapted = add_adapters(model, params, run.seed)
    train(run, model, batch, partial(click_loss, params.temperature), params)
    for adapters in adapted:
        # Merging puts plain layers back in place, so that nobody needs peft to load the model.
        adapters.merge_and_unload()
    model.requires_grad_(True)
    return model


def add_adapters(model: "SentenceTransformer", params: Params, seed: int) -> "list[LoraModel]":
    """Put an adapter beside each linear layer of a model's transformers, and freeze all else."""
    from peft import LoraConfig, LoraModel
    from sentence_transformers.base.modules import Transformer

    from hooktune import RequestError, seeded

    transformers = [module for module in model.modules() if isinstance(module, Transformer)]
    if not transformers:
        raise RequestError("The model has no transformer that LoRA could adapt.")
    model.requires_grad_(False)
    config = LoraConfig(
        r=params.rank, lora_alpha=params.scale * params.rank, target_modules="all-linear"
    )
    with seeded(seed):
        return [LoraModel(module.auto_model, config, "default") for module in transformers]


def click_loss(temperature: float, sessions: "Sessions", scores: "torch.Tensor") -> "torch.Tensor":
    """Pull clicked results to their queries, and let them win over the others of their session.

    Args:
        temperature: How sharply the results of a session compete.
        sessions: Sessions that show R results altogether.
        scores: R cosine similarities.
    """
    import torch

    session = torch.tensor(sessions.session_index, device=scores.device)
    clicked = torch.tensor(sessions.clicked, device=scores.device)
    logits = scores / temperature
    totals = torch.zeros(len(sessions), dtype=logits.dtype, device=logits.device)
    totals = totals.index_add(0, session, logits.exp())
    surprises = totals[session].log() - logits
    return (surprises + (1 - scores))[clicked].sum() / max(int(clicked.sum()), 1)
