"""The hooks: what a plugin may implement, when hooktune calls it, and what it has to return.

An implementation is a function or a method marked with `@hooktune.hookimpl`. It takes only those
of a hook's arguments that it needs, by name. Later versions may add arguments to a hook and never
remove one.

Any plugin may put a wrapper around any hook, marked with `@hooktune.hookimpl(wrapper=True)`. It
observes: the hook's result goes on unchanged, whatever the wrapper returns or raises. Around
`compute_metrics` it runs once for each plugin that implements the hook.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

import pluggy

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.checkpoint import Checkpoint, StateGiver
    from hooktune.contract.encoding import Encoder
    from hooktune.contract.metric import Accumulation, MainMetric, MetricDescription
    from hooktune.contract.outcome import Addresses
    from hooktune.contract.sessions import Floats, Sessions, TrainingBatch
    from hooktune.contract.settings import MethodSettings

PROJECT_NAME: Final = "hooktune"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)


class ActiveRun(Protocol):
    """The run that a method is at work for: it takes the method's figures and answers questions."""

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
        """Track one point of each metric, and its running figures.

        Args:
            metrics: Numbers by name; a name takes letters, digits, blanks and `_-.:/`. Names that
                begin with `test_` are those of evaluations.
            step: The training step that they belong to, from 1; 0 for what comes before.
            accumulate: Which running figures to track beside them.

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


@hookspec(firstresult=True)
def upload_initial_model(settings: "MethodSettings") -> "SentenceTransformer":  # type: ignore[empty-body]
    """Return the model that the method starts from.

    Called when the method has no initial model in the tracking store, once for each store; the
    host uploads what is returned and loads it from there ever after. Without this hook the host
    loads the model that the user named, or all-MiniLM-L6-v2.

    Args:
        settings: The initial model that the user named, if any, the seed and the device.

    Returns:
        A `SentenceTransformer`.

    Since 0.1. Implemented by a method that starts from a model of its own.
    """


@hookspec(firstresult=True)
def hyper_parameters() -> "type[BaseModel]":  # type: ignore[empty-body]
    """Return the pydantic model class that describes the method's hyper-parameters.

    Called in each iteration before any run, perhaps more than once. Each field carries its type,
    default, bounds and description; one that is worth searching carries a `SearchRange` or
    `SearchChoices`.

    Returns:
        A class, every field of which has a default.

    Since 0.1. Implemented by a method that has any.
    """


@hookspec(firstresult=True)
def main_metric() -> "MainMetric":  # type: ignore[empty-body]
    """Return the metric that decides which of the method's models is best, with its direction.

    Called once in each iteration, where the user chose no main metric.

    Returns:
        A `MainMetric`; the default is `test_not_irrelevant_dist_shift`, higher is better.

    Since 0.1. Implemented by a method that is not to be judged by the default.
    """


@hookspec(firstresult=True)
def fit_batch(  # type: ignore[empty-body]
    run: ActiveRun, model: "SentenceTransformer", batch: "TrainingBatch", params: "BaseModel | None"
) -> "SentenceTransformer":
    """Tune a model on the batch's training sessions and return it.

    Called once in each run, and again where its process died. The host evaluates what is returned,
    whatever the method measured.

    Args:
        run: Takes the run's figures: `log`, `log_scores`, `evaluate`, `should_stop`, `checkpoint`,
            `resumed`.
        model: A copy of the starting model, which the method may change in place.
        batch: The training sessions, and the baseline similarity of each of their results.
        params: An instance of the class that `hyper_parameters` returned; None without that hook.

    Returns:
        The tuned `SentenceTransformer`.

    Since 0.1. Implemented by a method; required.
    """


@hookspec
def compute_metrics(  # type: ignore[empty-body]
    model: "SentenceTransformer", sessions: "Sessions", scores: "Floats", baseline: "Floats"
) -> dict[str, float]:
    """Measure a model on some sessions.

    Called at each evaluation with the test sessions, and at each step of the host's training loop
    with the mini-batch, whose negatives the method may have down-sampled. So it should be quick.

    Args:
        model: The model being measured.
        sessions: S sessions that show R results altogether, as columns.
        scores: For each of the R results, its similarity to its query under `model`, float32. The
            host has encoded each distinct text once, for all plugins.
        baseline: For each of the R results, its similarity before tuning, float32.

    Returns:
        A flat dict of numbers without prefix; the host adds `train_` or `test_`. A figure that is
        undefined for these sessions is left out. Two plugins giving one name is an error.

    Since 0.1. Implemented by any plugin.
    """


@hookspec
def describe_metrics() -> "list[MetricDescription]":  # type: ignore[empty-body]
    """Describe the metrics that the plugin computes.

    Called in each iteration before anything is encoded, perhaps more than once. A metric that
    nobody describes is taken for one of which more is better.

    Returns:
        A `MetricDescription` for each metric, by its name without prefix: whether greater is
        better, its unit and what it measures. Two plugins describing one metric is an error.

    Since 0.1. Implemented by any plugin.
    """


@hookspec
def run_finished(
    method: str,
    batch_id: str,
    run_id: str,
    status: str,
    metrics: dict[str, float],
    starting_metrics: dict[str, float],
    addresses: "Addresses",
) -> None:
    """Learn that a run has ended, whatever its end.

    Called once for each run, when all of it is in the store, by the process that did it; of several
    devices' processes by the leading one alone. A run that was gone on with after its process died
    is told of at its end. Not called for a run that was done before, nor where the command was
    interrupted or the store stayed away. A failure is logged and recorded, and stops nothing.

    Args:
        method: The method's display name.
        batch_id: The batch.
        run_id: The run.
        status: `FINISHED`, `FAILED` or `KILLED`.
        metrics: The last value of each of its metrics, by the name in the store.
        starting_metrics: The starting model's metrics on the same test sessions.
        addresses: The store, the run's page, and its model while it is the best one.

    Returns:
        Nothing that is looked at.

    Since 0.1. Implemented by any plugin.
    """


@hookspec
def iteration_finished(
    method: str,
    batch_id: str,
    run_id: str | None,
    status: str,
    metrics: dict[str, float],
    starting_metrics: dict[str, float],
    addresses: "Addresses",
) -> None:
    """Learn that an iteration has no run left to do, or was stopped.

    Called once in each call that did a run of it, after the last `run_finished`, when its best
    model is settled. It comes again when further runs are done later. A failure stops nothing.

    Args:
        method: The method's display name.
        batch_id: The batch.
        run_id: The run whose model is kept; None where no run beats the starting model.
        status: `FINISHED`; `FAILED` where no run has finished; `KILLED` where it was stopped.
        metrics: Those of that run; empty without one.
        starting_metrics: The starting model's metrics on the same test sessions.
        addresses: The store, the page of the run or else of the iteration, and the model.

    Returns:
        Nothing that is looked at.

    Since 0.1. Implemented by any plugin.
    """


@hookspec
def promoted(
    method: str,
    batch_id: str | None,
    run_id: str,
    status: str,
    metrics: dict[str, float],
    starting_metrics: dict[str, float],
    addresses: "Addresses",
) -> None:
    """Learn that a model has become the champion of its method.

    Called once for each promotion, after it is in the store. Not where the model was the champion
    already, nor for a rollback. A failure stops nothing.

    Args:
        method: The method's display name.
        batch_id: The batch that the model was tuned on; None for an initial model.
        run_id: The run that the model is of.
        status: `better`, or `forced` where something spoke against it.
        metrics: The model's metrics on the sessions that it was compared on.
        starting_metrics: The same of the model that it was compared with; empty without one.
        addresses: The store, the run's page, and the registered version of the model.

    Returns:
        Nothing that is looked at.

    Since 0.1. Implemented by any plugin.
    """
