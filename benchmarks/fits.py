"""The contenders by name: each trains a model on sessions, at a pace."""

from collections.abc import Callable, Mapping
from typing import Any

from sentence_transformers import SentenceTransformer

from hooktune_loop import ALL_LAYERS, PAIRS_ALONE, train_with_hooktune
from measuring import Pace, Phases
from plain_loop import train_plain, train_plain_frozen
from product_search import Parts

SESSIONS_IN_STEP = 16

Fit = Callable[[SentenceTransformer, Parts, Pace, Phases, int], float]
"""Takes the model, which it changes in place, the sessions, the pace, the phases, of which it may
end some of its own, and the epochs; returns how many sessions with a click it has learned from."""


def _plain(
    model: SentenceTransformer,
    parts: Parts,
    pace: Pace,
    phases: Phases,  # noqa: ARG001
    epochs: int,
) -> float:
    pace.start()
    train_plain(model, parts.train, pace, epochs)
    return _seen(parts, pace, epochs)


def _plain_frozen(
    model: SentenceTransformer, parts: Parts, pace: Pace, phases: Phases, epochs: int
) -> float:
    pace.start()
    train_plain_frozen(model, parts.train, pace, lambda: phases.end("first pass"), epochs)
    return _seen(parts, pace, epochs)


def _hooktune(params: Mapping[str, Any]) -> Fit:
    def fit(
        model: SentenceTransformer, parts: Parts, pace: Pace, phases: Phases, epochs: int
    ) -> float:
        tuned = train_with_hooktune(model, parts, pace, phases, {**params, "epochs": epochs})
        assert tuned is model
        return _seen(parts, pace, epochs)

    return fit


def _st_trainer(
    model: SentenceTransformer, parts: Parts, pace: Pace, phases: Phases, epochs: int
) -> float:
    # Imported here, as what it brings takes seconds, which are counted as loading.
    from st_trainer import train_with_trainer

    phases.end("load")
    pace.start()
    return train_with_trainer(model, parts.train, pace, epochs)


def _seen(parts: Parts, pace: Pace, epochs: int) -> float:
    return int(parts.train.not_irrelevant.sum()) * min(
        pace.steps / steps_per_epoch(parts), float(epochs)
    )


def steps_per_epoch(parts: Parts) -> int:
    """Return how many steps all contenders but the trainer make of an epoch."""
    return -(-int(parts.train.not_irrelevant.sum()) // SESSIONS_IN_STEP)


FITS: Mapping[str, Fit] = {
    "plain": _plain,
    "hooktune": _hooktune(ALL_LAYERS),
    "hooktune-float32": _hooktune({**ALL_LAYERS, "precision": "float32"}),
    "plain-frozen": _plain_frozen,
    "hooktune-frozen": _hooktune({**ALL_LAYERS, "frozen_layers": 4}),
    "hooktune-frozen-float32": _hooktune(
        {**ALL_LAYERS, "frozen_layers": 4, "precision": "float32"}
    ),
    "hooktune-default": _hooktune({**PAIRS_ALONE, "evaluations_per_epoch": 0}),
    "st-trainer": _st_trainer,
}
