"""The run that a method is at work for, as `fit_batch` gets it."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.checkpoint import Checkpoint, StateGiver
    from hooktune.contract.encoding import Encoder
    from hooktune.contract.metric import Accumulation, MainMetric
    from hooktune.contract.sessions import Floats, Sessions


class ActiveRun(Protocol):
    """The run that a method is at work for: it takes the method's metrics and answers questions."""

    @property
    def seed(self) -> int:
        """The seed that everything random in the run is to follow."""
        ...

    @property
    def main_metric(self) -> "MainMetric":
        """The metric by which the returned model will be judged."""
        ...

    @property
    def device(self) -> str:
        """The torch device that the model is on, such as `cpu` or `cuda:1`."""
        ...

    @property
    def rank(self) -> int:
        """Which of the processes that train together this one is, from 0; 0 is the leading one."""
        ...

    @property
    def world_size(self) -> int:
        """How many processes train together; each of them calls `fit_batch`."""
        ...

    @property
    def encoder(self) -> "Encoder":
        """Encodes the batch's texts, each process its share, and keeps what stays the same."""
        ...

    def expect_steps(self, count: int) -> None:
        """Tell how many steps the run will take at most; progress is shown against it."""
        ...

    def use_loss(self, loss: "Callable[[Sessions, Floats], float]") -> None:
        """Give the loss as a function of sessions and their scores.

        From then on each evaluation logs it as `test_loss`, and what the starting model has under
        it is recorded on the run: where `test_loss` decides, a run has to get below that.
        """
        ...

    def log(
        self,
        metrics: Mapping[str, float],
        step: int,
        accumulate: "Iterable[Accumulation]" = ("mean", "sliding"),
    ) -> None:
        """Track one point of each metric, and its running values.

        Args:
            metrics: Numbers by name; a name takes letters, digits, blanks and `_-.:/`. Names that
                begin with `test_` are those of evaluations.
            step: The training step that they belong to, from 1; 0 for what comes before.
            accumulate: Which running values to track beside them.

        Raises:
            PluginError: A name, a value or the step cannot be tracked; nothing of it is.
        """
        ...

    def log_scores(
        self,
        model: "SentenceTransformer",
        sessions: "Sessions",
        scores: "Floats",
        baseline: "Floats",
        step: int,
    ) -> None:
        """Track the metrics of a mini-batch, with the prefix `train_`.

        Args:
            model: The model that gave the scores.
            sessions: The mini-batch.
            scores: Its results' similarities before the step's update; one for each shown result.
            baseline: The same results' entries of `batch.baseline`.
            step: The training step, from 1.
        """
        ...

    def evaluate(self, model: "SentenceTransformer", step: int) -> dict[str, float]:
        """Measure a model on the test sessions, track the result at this step and return it."""
        ...

    def checkpoint(self, step: int, state: "StateGiver") -> None:
        """Keep the state of the training in the store, if it is due, in case the process dies.

        To be called after each step; most calls cost nothing.

        Args:
            step: How many steps are done.
            state: Called when it is due. Returns tensors by name, and a mapping that JSON can hold:
                all that the loop needs to go on from there as if nothing had happened.
        """
        ...

    def resumed(self) -> "Checkpoint | None":
        """Return the state to go on from, or None for a run that begins now.

        What was logged before that step is in the store already. To be called once, before the
        first step, by a method that calls `checkpoint`.
        """
        ...

    def should_stop(self) -> bool:
        """Tell whether the user asked to stop; a method then returns its model soon."""
        ...
