"""What an average of runs is: a model that was made of others instead of being trained."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hooktune.iteration.run_search import Chosen
from hooktune.tracking.search_tags import AVERAGE_TAG

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

NO_NUMBER: Final = -1
"""Stands for the number of a run in its search, as an average is none of the search's runs."""


@dataclass(frozen=True, eq=False)
class Average:
    """The mean of the models of several runs, to be measured as a run of its own."""

    model: "SentenceTransformer"
    runs: tuple[str, ...]
    """The ids of the runs that it is the mean of."""
    fit_seconds: float
    """How long those took to train."""

    @property
    def chosen(self) -> Chosen:
        """Its hyper-parameters: none."""
        tags = {AVERAGE_TAG: " ".join(self.runs)}
        return Chosen(NO_NUMBER, None, "the mean of their weights", tags)
