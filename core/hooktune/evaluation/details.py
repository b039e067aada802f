"""What a run keeps of its evaluation so that people can look at it, beside its metrics."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from hooktune.contract.images import in_words
from hooktune.contract.metric import RANKING_METRIC
from hooktune.contract.report import ExampleQuery, ExampleResult, SimilarityShares
from hooktune.contract.sessions import Floats, Sessions
from hooktune.errors import HooktuneError
from hooktune.evaluation.kept_files import read_kept
from hooktune.evaluation.similarities import BINS, GREATEST, LEAST, Similarities, bar_edges

if TYPE_CHECKING:
    from hooktune.tracking import RunRecord, Tracker

DETAILS_FILE: Final = "evaluation/details.json"
"""Where a run keeps them, among its artifacts."""

_EXAMPLES: Final = 10
"""Queries that won, and as many that lost."""
_RESULTS: Final = 20
_LONGEST: Final = 300
"""Characters that are kept of a query and of an item."""


@dataclass(frozen=True)
class RunDetails:
    """What a run keeps of its evaluation so that people can look at it."""

    examples: tuple[ExampleQuery, ...]
    similarities: SimilarityShares

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode("utf-8", "backslashreplace")

    @classmethod
    def from_bytes(cls, content: bytes) -> "RunDetails":
        """Read what `to_bytes` returned.

        Raises:
            HooktuneError: It is nothing of the kind.
        """
        try:
            return TypeAdapter(cls).validate_json(content)
        except ValidationError as error:
            raise HooktuneError(f"{DETAILS_FILE}: {error}") from error


def run_details(
    sessions: Sessions,
    scores: tuple[Floats, Floats],
    per_session: tuple[Mapping[str, Floats], Mapping[str, Floats]],
    similarities: tuple[Similarities, Similarities],
) -> RunDetails:
    """Pick what is worth looking at.

    Args:
        sessions: S test sessions that show R results.
        scores: The similarity of each of the R results, before tuning and after it.
        per_session: The metrics that are known of each of the S sessions, before and after; NaN
            where one has none. Queries are picked by NDCG@10, and none where it is not known.
        similarities: How the similarities are spread, before and after.
    """
    examples: tuple[ExampleQuery, ...] = ()
    if all(RANKING_METRIC in metrics for metrics in per_session):
        rankings = per_session[0][RANKING_METRIC], per_session[1][RANKING_METRIC]
        places = _most_changed(sessions, *rankings)
        examples = tuple(_example(sessions, place, scores, rankings) for place in places)
    return RunDetails(examples, _shares(*similarities))


def stored_details(tracker: "Tracker", run: "RunRecord") -> RunDetails | None:
    """Return what a run has kept; None for a run of a version that kept nothing.

    Raises:
        HooktuneError: It cannot be read.
    """
    return read_kept(tracker, run, DETAILS_FILE, RunDetails.from_bytes)


def _most_changed(sessions: Sessions, before: Floats, after: Floats) -> Sequence[int]:
    """Return the sessions that won most and those that lost most, one of each query."""
    changes = np.nan_to_num(np.asarray(after, np.float64) - np.asarray(before, np.float64))
    _, first = np.unique(sessions.query_index, return_index=True)
    order = first[np.argsort(-changes[first], kind="stable")]
    won = [int(place) for place in order[:_EXAMPLES] if changes[place] > 0]
    lost = [int(place) for place in order[::-1][:_EXAMPLES] if changes[place] < 0]
    return won + lost


def _example(
    sessions: Sessions,
    place: int,
    scores: tuple[Floats, Floats],
    rankings: tuple[Floats, Floats],
) -> ExampleQuery:
    results = range(*sessions.offsets[place : place + 2])[:_RESULTS]
    return ExampleQuery(
        in_words(sessions.queries[int(sessions.query_index[place])].as_py())[:_LONGEST],
        float(rankings[0][place]),
        float(rankings[1][place]),
        tuple(
            ExampleResult(
                in_words(sessions.items[int(sessions.item_index[result])].as_py())[:_LONGEST],
                bool(sessions.clicked[result]),
                float(scores[0][result]),
                float(scores[1][result]),
            )
            for result in results
        ),
    )


def _shares(before: Similarities, after: Similarities) -> SimilarityShares:
    bars = bar_edges(before.clicked + before.others + after.clicked + after.others)
    edges = np.linspace(LEAST, GREATEST, BINS + 1)[bars]

    def of(similarities: Similarities) -> dict[str, Any]:
        kinds = {"clicked": similarities.clicked, "not clicked": similarities.others}
        return {
            kind: tuple((np.add.reduceat(counts, bars[:-1]) / counts.sum()).tolist())
            for kind, counts in kinds.items()
            if counts.sum()
        }

    return SimilarityShares(tuple(edges.tolist()), of(before), of(after))
