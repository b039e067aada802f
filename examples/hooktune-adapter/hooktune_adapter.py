"""A linear adapter for hooktune: one matrix is trained over embeddings that stay as they are.

A run encodes each text once and trains on the embeddings. The matrix is added to the model as a
`Dense` module of sentence-transformers, for queries and items alike, so that the embeddings of an
index need only be multiplied by it.
"""

from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from hooktune import SearchRange, hookimpl

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from hooktune import ActiveRun, Sessions, TrainingBatch


class Params(BaseModel):
    """The hyper-parameters of the adapter."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="How often all training sessions are gone through; each time is one step.",
    )
    learning_rate: Annotated[float, SearchRange(3e-4, 1e-2, log=True)] = Field(
        default=3e-3, gt=0, le=1, description="The learning rate of Adam."
    )
    restraint: Annotated[float, SearchRange(1e-3, 0.1, log=True)] = Field(
        default=0.01,
        ge=0,
        description="How strongly the matrix is held at the identity, which changes nothing.",
    )


class Examples(NamedTuple):
    """The embeddings of the distinct queries and items, and where R results find theirs."""

    queries: "torch.Tensor"
    items: "torch.Tensor"
    query_row: "torch.Tensor"
    item_row: "torch.Tensor"
    clicked: "torch.Tensor"
    """For each result, whether it was clicked."""


@hookimpl
def hyper_parameters() -> type[Params]:
    """Return the class of the hyper-parameters."""
    return Params


@hookimpl
def fit_batch(
    run: "ActiveRun", model: "SentenceTransformer", batch: "TrainingBatch", params: Params
) -> "SentenceTransformer":
    """Train the matrix and put it behind the model."""
    import torch

    examples = embed(model, batch.train)
    identity = torch.eye(examples.items.shape[1], device=model.device)
    matrix = identity.clone().requires_grad_()
    optimizer = torch.optim.Adam([matrix], lr=params.learning_rate)
    before = similarities(identity, examples)
    run.expect_steps(params.steps)
    for step in range(1, params.steps + 1):
        if run.should_stop():
            break
        scores = similarities(matrix, examples)
        value = adapter_loss(scores, before, examples.clicked)
        run.log({"train_loss": value.item()}, step)
        run.log_scores(model, batch.train, scores.detach().cpu().numpy(), batch.baseline, step)
        optimizer.zero_grad()
        (value + params.restraint * (matrix - identity).square().sum()).backward()
        optimizer.step()
    add_matrix(model, matrix.detach())
    return model


def embed(model: "SentenceTransformer", sessions: "Sessions") -> Examples:
    """Encode each distinct text once."""
    import numpy as np
    import torch

    used_queries, query_row = np.unique(sessions.query_index, return_inverse=True)
    used_items, item_row = np.unique(sessions.item_index, return_inverse=True)
    # The matrix stands before an embedding is cut short, and has to see all of it.
    with model.truncate_embeddings(None):
        queries = model.encode_query(
            sessions.queries.take(used_queries).to_pylist(), show_progress_bar=False
        )
        items = model.encode_document(
            sessions.items.take(used_items).to_pylist(), show_progress_bar=False
        )
    return Examples(
        torch.from_numpy(queries).to(model.device),
        torch.from_numpy(items).to(model.device),
        torch.from_numpy(query_row[sessions.session_index]).to(model.device),
        torch.from_numpy(item_row).to(model.device),
        torch.tensor(sessions.clicked, device=model.device),
    )


def similarities(matrix: "torch.Tensor", examples: Examples) -> "torch.Tensor":
    """Return the cosine similarity of each result to its query, both multiplied by the matrix."""
    from torch.nn.functional import normalize

    queries = normalize(examples.queries @ matrix.T)
    items = normalize(examples.items @ matrix.T)
    return (queries[examples.query_row] * items[examples.item_row]).sum(dim=1)


def adapter_loss(
    scores: "torch.Tensor", before: "torch.Tensor", clicked: "torch.Tensor"
) -> "torch.Tensor":
    """Pull clicked results to their queries, and let the others come no nearer than before.

    Args:
        scores: R cosine similarities.
        before: The same before training.
        clicked: For each of the R results, whether it was clicked.
    """
    pulled = (1 - scores)[clicked].sum() / max(int(clicked.sum()), 1)
    held = (scores - before)[~clicked].relu().sum() / max(int((~clicked).sum()), 1)
    return pulled + held


def add_matrix(model: "SentenceTransformer", matrix: "torch.Tensor") -> None:
    """Multiply a model's embeddings by a matrix, by a `Dense` module at its end.

    A model that has one already, of an earlier iteration, keeps one: the product of both.
    """
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    # Normalisation does not mind on which side of it a matrix stands, but it must come last.
    place = len(model) - isinstance(model[-1], Normalize)
    last = model[place - 1]
    if (
        isinstance(last, Dense)
        and isinstance(last.activation_function, torch.nn.Identity)
        and last.linear.bias is None
        and not last.use_residual
    ):
        last.linear.weight.data = matrix.to(last.linear.weight) @ last.linear.weight.data
        return
    size = len(matrix)
    with torch.random.fork_rng(devices=[]):  # it draws weights before it takes the given ones
        dense = Dense(size, size, bias=False, activation_function=None, init_weight=matrix)
    model.insert(place, dense.to(model.device, model.dtype))
