"""The hooks: what a plugin may implement, when hooktune calls it, and what it has to return.

An implementation is a function or a method marked with `@hooktune.hookimpl`. It takes only those
of a hook's arguments that it needs, by name. Later versions may add arguments to a hook and never
remove one.

Any plugin may put a wrapper around any hook but those of log readers and launchers, marked with
`@hooktune.hookimpl(wrapper=True)`. It observes: the hook's result goes on unchanged, whatever the
wrapper returns or raises. Around `compute_metrics` it runs once for each plugin that implements the
hook.
"""

from typing import TYPE_CHECKING

from hooktune.contract.hook_markers import PROJECT_NAME as PROJECT_NAME
from hooktune.contract.hook_markers import hookimpl as hookimpl
from hooktune.contract.hook_markers import hookspec as hookspec
from hooktune.contract.launch_hooks import launch as launch
from hooktune.contract.log_hooks import guess_columns as guess_columns
from hooktune.contract.log_hooks import read_log as read_log
from hooktune.contract.log_hooks import recognise_log as recognise_log
from hooktune.contract.search_hooks import propose as propose
from hooktune.contract.search_hooks import samplers as samplers

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.active_run import ActiveRun
    from hooktune.contract.metric import MainMetric, MetricDescription
    from hooktune.contract.outcome import Addresses
    from hooktune.contract.report import ReportFacts, ReportSection
    from hooktune.contract.sessions import Floats, Sessions, TrainingBatch
    from hooktune.contract.settings import MethodSettings


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
    run: "ActiveRun",
    model: "SentenceTransformer",
    batch: "TrainingBatch",
    params: "BaseModel | None",
) -> "SentenceTransformer":
    """Tune a model on the batch's training sessions and return it.

    Called once in each run, and again where its process died. The host evaluates what is returned,
    whatever the method measured.

    Args:
        run: Takes the run's metrics: `log`, `log_scores`, `evaluate`, `should_stop`, `checkpoint`,
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
) -> "dict[str, float | Floats]":
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
        A flat dict without prefix; the host adds `train_` or `test_`. Each metric is a number, or
        an array of S numbers, one for each session and NaN where a session has none. The metric is
        then their mean, and its interval and its values for each test query become known. A metric
        that is undefined for these sessions is left out. Two plugins giving one name is an error.

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
def report_sections(report: "ReportFacts") -> "list[ReportSection]":  # type: ignore[empty-body]
    """Write sections of a run's report from what the store holds of the run.

    Called once for each report: of the run whose model an iteration keeps, and whenever somebody
    asks for one. A failure is logged and recorded, and the report goes without these sections.

    Args:
        report: The run, its metrics before tuning and after it, its test queries, and the other
            runs of its iteration.

    Returns:
        Sections of plain values; the host writes the HTML and escapes what they hold. A section
        with a lower `order` comes first.

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
    is told of at its end. Not called for a run that was done before, nor for one that is ended as
    `KILLED` because its process died, nor where the command was interrupted or the store stayed
    away. A failure is logged and recorded, and stops nothing.

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
