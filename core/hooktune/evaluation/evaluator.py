"""Measuring a model on the test sessions, against a baseline that stays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hooktune.contract.collection_metrics import is_of_collection
from hooktune.contract.metric import LOSS, with_test_prefix
from hooktune.contract.sessions import Floats, Ints, Sessions
from hooktune.evaluation.collection import Collection, Embedded, Found
from hooktune.evaluation.movement import Footprint, footprint, movement
from hooktune.evaluation.similarities import Similarities, count_similarities
from hooktune.plugin.host import Host
from hooktune.plugin.measured import Measured
from hooktune.progress import phase
from hooktune.training.scoring import score_results, scores_of

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
    scores: Floats | None = None
    """The similarity of each result; None where it was not kept."""
    per_judged_query: Floats | None = None
    """See `CollectionFigures`."""

    @property
    def is_of_collection(self) -> bool:
        """Whether the whole collection was searched for it."""
        return any(is_of_collection(name) for name in self.metrics)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, without what there is for each session and each result."""
        counts = {name: values.tolist() for name, values in vars(self.similarities).items()}
        sample = self.sample.tolist()
        return {"metrics": self.metrics, "similarities": counts, "sample": sample}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Evaluation":
        """Return what `as_json` was called on."""
        counts = {name: np.array(counted) for name, counted in values["similarities"].items()}
        sample = np.array(values["sample"], np.float32)
        return Evaluation(values["metrics"], Similarities(**counts), sample, None, None)


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Measures a model on fixed sessions against a fixed baseline.

    Args:
        host: The plugins that compute metrics.
        sessions: The sessions.
        baseline: The similarity of each of their results before tuning.
        encoder: What is known already of the sessions' texts.
        collection: All items, to be searched when a run ends; None where they never are.
        is_searched_always: Whether the collection is searched in each evaluation, as the main
            metric is measured there.
    """

    host: Host
    sessions: Sessions
    baseline: Floats
    encoder: "TextEncoder"
    collection: Collection | None = None
    is_searched_always: bool = False
    start: Footprint | None = None
    """Where the starting model has things, to tell how far a run has moved them."""

    def __call__(
        self,
        model: "SentenceTransformer",
        loss: Callable[[Sessions, Floats], float] | None = None,
    ) -> dict[str, float]:
        """Return the metrics of a model, with the prefix `test_`."""
        return self.of_scores(model, self.scores(model), loss)

    def scores(self, model: "SentenceTransformer", embedded: Embedded | None = None) -> Floats:
        """Return the similarity of each result; all processes of a run must call it.

        Args:
            model: The model.
            embedded: What `embed` gave, so that nothing has to be encoded.
        """
        if embedded is not None:
            return scores_of(self.sessions, embedded.queries, embedded.items)
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
        return Evaluation(measured.metrics, similarities, sample, per_session, scores)

    def has_to_search(self, evaluation: Evaluation | None, *, is_last: bool) -> bool:
        """Tell whether the whole collection is to be searched.

        Args:
            evaluation: What is known already of the model.
            is_last: Whether the run ends with it.
        """
        is_done = evaluation is not None and evaluation.is_of_collection
        return self.collection is not None and not is_done and (is_last or self.is_searched_always)

    def embed(self, model: "SentenceTransformer") -> Embedded | None:
        """Encode the collection, if there is one; all processes of a run must call it."""
        if self.collection is None:
            return None
        return self.collection.embed(model, self.sessions, "the tuned model")

    def with_collection(self, evaluation: Evaluation, embedded: Embedded) -> Evaluation:
        """Add what comes of searching the whole collection, if there is one."""
        if self.collection is None:
            return evaluation
        return self.with_found(evaluation, embedded, self.collection.search(embedded))

    def with_found(self, evaluation: Evaluation, embedded: Embedded, found: Found) -> Evaluation:
        """Add what comes of a search of the whole collection that was done."""
        assert self.collection is not None
        figures = self.collection.figures(found)
        moved: dict[str, float] = {}
        if self.start is not None:
            moved = movement(self.start, footprint(self.collection, embedded, found))
        per_session = {name: of.astype(np.float32) for name, of in figures.per_session.items()}
        return replace(
            evaluation,
            metrics=evaluation.metrics | figures.metrics | moved,
            per_session=(evaluation.per_session or {}) | per_session,
            per_judged_query=figures.per_judged_query,
        )

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
