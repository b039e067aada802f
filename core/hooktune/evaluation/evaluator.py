"""Measuring a model on the test sessions, against a baseline that stays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hooktune.contract.metric import LOSS, with_test_prefix
from hooktune.contract.sessions import Floats, Ints, Sessions
from hooktune.evaluation.similarities import Similarities, count_similarities
from hooktune.plugin.host import Host
from hooktune.plugin.measured import Measured
from hooktune.progress import phase
from hooktune.training.scoring import score_results

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.training.encoder import TextEncoder

_SAMPLED: Final = 32


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came of measuring a model on the test sessions."""

    metrics: dict[str, float]
    """With the prefix `test_`."""
    similarities: Similarities
    sample: Floats
    """The similarity of each result of `Evaluator.sample`."""
    per_session: dict[str, Floats] | None
    """As `Measured` has it, with the prefix `test_` and in float32; None where it was not kept."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, without what there is for each session."""
        counts = {name: values.tolist() for name, values in vars(self.similarities).items()}
        sample = self.sample.tolist()
        return {"metrics": self.metrics, "similarities": counts, "sample": sample}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Evaluation":
        """Return what `as_json` was called on."""
        counts = {name: np.array(counted) for name, counted in values["similarities"].items()}
        sample = np.array(values["sample"], np.float32)
        return Evaluation(values["metrics"], Similarities(**counts), sample, None)


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Measures a model on fixed sessions against a fixed baseline.

    Args:
        host: The plugins that compute metrics.
        sessions: The sessions.
        baseline: The similarity of each of their results before tuning.
        encoder: What is known already of the sessions' texts.
    """

    host: Host
    sessions: Sessions
    baseline: Floats
    encoder: "TextEncoder"

    def __call__(
        self,
        model: "SentenceTransformer",
        loss: Callable[[Sessions, Floats], float] | None = None,
    ) -> dict[str, float]:
        """Return the metrics of a model, with the prefix `test_`."""
        return self.of_scores(model, self.scores(model), loss)

    def scores(self, model: "SentenceTransformer") -> Floats:
        """Return the similarity of each result; all processes of a run must call it."""
        return score_results(model, self.sessions, self.encoder, title="the tuned model")

    def in_full(
        self,
        model: "SentenceTransformer",
        scores: Floats,
        loss: Callable[[Sessions, Floats], float] | None = None,
    ) -> Evaluation:
        """Return all that comes of the scores that a model gives."""
        measured = self.measure(model, scores, loss)
        sample = scores[self.sessions.result_places(self.sample)]
        # Those of all evaluations of a run are in memory at once.
        per_session = {name: of.astype(np.float32) for name, of in measured.per_session.items()}
        similarities = count_similarities(self.sessions, scores)
        return Evaluation(measured.metrics, similarities, sample, per_session)

    @property
    def sample(self) -> Ints:
        """The places of a few sessions, spread evenly, that tell one model from another."""
        count = len(self.sessions)
        return np.unique(np.linspace(0, count - 1, min(count, _SAMPLED)).astype(np.int64))

    def of_scores(
        self,
        model: "SentenceTransformer",
        scores: Floats,
        loss: Callable[[Sessions, Floats], float] | None = None,
    ) -> dict[str, float]:
        """Return the metrics that these scores give, with the prefix `test_`."""
        return self.measure(model, scores, loss).metrics

    def measure(
        self,
        model: "SentenceTransformer",
        scores: Floats,
        loss: Callable[[Sessions, Floats], float] | None = None,
    ) -> Measured:
        """Return what `of_scores` does, and what is known for each session."""
        with phase("computing the metrics of the test sessions", len(self.sessions)):
            measured = self.host.compute_metrics(model, self.sessions, scores, self.baseline)
        if loss is not None:
            measured.metrics[LOSS] = loss(self.sessions, scores)
        per_session = with_test_prefix(measured.per_session)
        return Measured(with_test_prefix(measured.metrics), per_session)
