"""Whether a model, loaded from where it was stored, is the one that was measured."""

from typing import TYPE_CHECKING, Final

import numpy as np

from hooktune.errors import HooktuneError
from hooktune.evaluation.evaluator import Evaluation, Evaluator
from hooktune.training.scoring import score_results

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_CLOSE: Final = 1e-4
"""How far similarities may lie apart: texts that are encoded in other company differ by 1e-6."""
_CLOSE_IN_HALF_PRECISION: Final = 3e-2
"""The same where numbers are shorter, as those of a GPU's tensor cores may be."""


def check_stored_model(
    evaluator: Evaluator, measured: Evaluation, method: str, stored: "SentenceTransformer"
) -> None:
    """Make sure that a stored model scores a sample of the test sessions as it was measured.

    Args:
        evaluator: What has measured the model that the method returned.
        measured: What came of that.
        method: The method's display name, for the message.
        stored: The model, loaded from where it was stored.

    Raises:
        HooktuneError: It scores otherwise.
    """
    sample = evaluator.sessions.take(evaluator.sample)
    scores = score_results(stored, sample)
    apart = float(np.max(np.abs(scores - measured.sample), initial=0.0))
    is_half = any(weights.dtype.itemsize < 4 for weights in stored.parameters())
    is_exact = not is_half and stored.device.type == "cpu"
    # Written so that a NaN is no equality.
    if not apart <= (_CLOSE if is_exact else _CLOSE_IN_HALF_PRECISION):
        raise HooktuneError(
            f"The model that the method {method!r} returned is not the one that is stored of it: "
            f"on {len(sample)} of the test sessions similarities differ by up to {apart:.3g}. Only "
            "weights and settings are stored. What is done by forward hooks, by replaced "
            "methods or by attributes of Python is lost; put it into a module of "
            "sentence-transformers, or into the weights."
        )
