"""One iteration's plugins: a fresh plugin manager, and a typed method for each hook.

Nothing else in hooktune calls a hook.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import pluggy

from hooktune.contract import hooks as hookspecs
from hooktune.contract.collection_metrics import COLLECTION_DESCRIPTIONS
from hooktune.contract.hooks import PROJECT_NAME
from hooktune.contract.metric import (
    LOSS,
    LOSS_DESCRIPTION,
    MainMetric,
    MetricDescription,
)
from hooktune.errors import HooktuneError, PluginError, PluginRequestError
from hooktune.plain_text import kind_of
from hooktune.plugin import initial_model
from hooktune.plugin.checks import (
    IS_MEASURED,
    LOSS_IS_RESERVED,
    ObserverHook,
    Plugin,
    PluginFailure,
    implementations,
    problem_of_schema,
)
from hooktune.plugin.descriptions import problem_of_descriptions
from hooktune.plugin.guard import broken_contract, guarded
from hooktune.plugin.measured import Measured, problem_of_measured, read_measured
from hooktune.plugin.samplers import Samplers
from hooktune.plugin.sections import problem_of_sections

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.active_run import ActiveRun
    from hooktune.contract.outcome import Outcome
    from hooktune.contract.report import ReportFacts, ReportSection
    from hooktune.contract.sessions import Floats, Sessions, TrainingBatch
    from hooktune.contract.settings import MethodSettings

logger = logging.getLogger(__name__)

_GIVING_HOOKS: Final = (
    "compute_metrics", "describe_metrics", "report_sections", "samplers", "propose",
)  # fmt: skip


class Host:
    """The plugins of one iteration: the chosen method and the extensions.

    An extension that breaks the contract is left out and recorded in `failures`, as is the failure
    of a wrapper or an observer; neither stops anything.

    Args:
        method: The chosen method.
        extensions: The plugins that bring metrics or observe.
        failures: What is left out already.

    Raises:
        PluginRequestError: The method breaks the contract.
    """

    def __init__(
        self,
        method: Plugin,
        extensions: Iterable[Plugin] = (),
        failures: Iterable[PluginFailure] = (),
    ) -> None:
        self.method = method
        self._failures: list[PluginFailure] = []
        for failure in failures:
            self._record(failure)
        checked = {method: implementations(method)}
        for extension in sorted(extensions, key=lambda plugin: plugin.name):
            # A method's module may stand under both groups; chosen, it takes part once.
            if extension.object is method.object:
                continue
            try:
                checked[extension] = implementations(extension)
            except PluginRequestError as error:
                self._record(_failure(extension, str(error)))
        self.plugins: tuple[Plugin, ...] = tuple(checked)
        """What takes part: the method, then the extensions by name."""
        self._manager = pluggy.PluginManager(PROJECT_NAME)
        self._manager.add_hookspecs(hookspecs)
        givers: dict[str, dict[Plugin, object]] = {hook: {} for hook in _GIVING_HOOKS}
        for plugin, found in checked.items():
            own = [impl for impl in found if not impl.is_wrapper]
            wrappers = [impl for impl in found if impl.is_wrapper]
            self._register(plugin, "wrappers", guarded(plugin, wrappers, self._report))
            registered = guarded(plugin, own, self._report)
            self._register(plugin, "implementations", registered)
            for impl in own:
                if impl.hook in givers:
                    givers[impl.hook][plugin] = registered
        own_hooks = {impl.hook for impl in checked[method] if not impl.is_wrapper}
        if "upload_initial_model" not in own_hooks:
            self._manager.register(initial_model, name="the host's default")
        # One caller for each plugin, so that every metric and section is known by its giver; the
        # wrappers stay, since they are registered apart.
        self._callers = {
            hook: {
                plugin: self._manager.subset_hook_caller(
                    hook, [other for other in of_hook.values() if other is not registered]
                )
                for plugin, registered in of_hook.items()
            }
            for hook, of_hook in givers.items()
        }
        self.samplers = Samplers(self._callers["samplers"], self._callers["propose"])
        """Propose the hyper-parameters of runs."""

    @property
    def failures(self) -> tuple[PluginFailure, ...]:
        """The plugins that were left out and the observers that failed, each once."""
        return tuple(self._failures)

    def initial_model(self, settings: "MethodSettings") -> "SentenceTransformer":
        """Ask the method for the model that it starts from, or load the default one.

        Raises:
            RequestError: The method brings none, and the default one cannot be loaded.
            PluginError: The method failed or returned no `SentenceTransformer`.
        """
        model = self._manager.hook.upload_initial_model(settings=settings)
        return self._checked_model(model, "upload_initial_model")

    def hyper_parameters(self) -> "type[BaseModel] | None":
        """Ask the method for the class of its hyper-parameters; None for a method without any.

        Raises:
            PluginError: The method failed, or the class cannot be used as it is.
        """
        schema = self._manager.hook.hyper_parameters()
        problem = "" if schema is None else problem_of_schema(schema)
        if problem:
            raise broken_contract(self.method, "hyper_parameters", problem)
        return schema  # type: ignore[no-any-return]

    def main_metric(self) -> MainMetric | None:
        """Ask the method for its main metric; None where it leaves it at the default.

        Raises:
            PluginError: The method failed or returned no `MainMetric`.
        """
        metric = self._manager.hook.main_metric()
        if metric is None or isinstance(metric, MainMetric):
            return metric
        raise broken_contract(
            self.method, "main_metric", f"it returned {kind_of(metric)}, not a MainMetric"
        )

    def fit_batch(
        self,
        run: "ActiveRun",
        model: "SentenceTransformer",
        batch: "TrainingBatch",
        params: "BaseModel | None",
    ) -> "SentenceTransformer":
        """Let the method tune a model.

        Raises:
            PluginError: The method failed or returned no `SentenceTransformer`.
        """
        tuned = self._manager.hook.fit_batch(run=run, model=model, batch=batch, params=params)
        return self._checked_model(tuned, "fit_batch")

    def compute_metrics(
        self,
        model: "SentenceTransformer",
        sessions: "Sessions",
        scores: "Floats",
        baseline: "Floats",
    ) -> Measured:
        """Gather every plugin's metrics of some sessions, without prefix.

        Raises:
            PluginError: A plugin failed, returned something else than numbers, or a number for each
                session, by legal names, or gave a name that another one gave too.
        """
        gathered = Measured({}, {})
        giver: dict[str, Plugin] = {}
        for plugin, call in self._callers["compute_metrics"].items():
            for given in call(model=model, sessions=sessions, scores=scores, baseline=baseline):
                problem = problem_of_measured(given, sessions)
                if problem:
                    raise broken_contract(plugin, "compute_metrics", problem)
                if LOSS in given:
                    raise broken_contract(plugin, "compute_metrics", LOSS_IS_RESERVED)
                for name in given:
                    if name in COLLECTION_DESCRIPTIONS:
                        raise broken_contract(
                            plugin, "compute_metrics", IS_MEASURED.format(name=name)
                        )
                    if name in giver:
                        raise PluginError(
                            f"Two plugins compute the metric {name!r}: {giver[name].label} and "
                            f"{plugin.label}. Rename it in one of them, or block one of them."
                        )
                    giver[name] = plugin
                measured = read_measured(given)
                gathered.metrics.update(measured.metrics)
                gathered.per_session.update(measured.per_session)
        return gathered

    def describe_metrics(self) -> dict[str, MetricDescription]:
        """Gather what is told of metrics, by their names without prefix; the loss among them.

        Raises:
            PluginError: A plugin failed, returned something else than descriptions of metrics, or
                described one that another one described too.
        """
        described = {LOSS: LOSS_DESCRIPTION, **COLLECTION_DESCRIPTIONS}
        giver: dict[str, Plugin] = {}
        for plugin, call in self._callers["describe_metrics"].items():
            for given in call():
                if problem := problem_of_descriptions(given):
                    raise broken_contract(plugin, "describe_metrics", problem)
                for description in given:
                    name = description.name
                    if name in described:
                        other = giver[name].label if name in giver else "hooktune itself"
                        raise PluginError(
                            f"The metric {name!r} is described twice: by {other} and by "
                            f"{plugin.label}. Remove one, or block one of them."
                        )
                    giver[name], described[name] = plugin, description
        return described

    def report_sections(self, facts: "ReportFacts") -> "list[ReportSection]":
        """Gather every plugin's sections of a report in order; a failure is in `failures`."""
        sections: list[ReportSection] = []
        for plugin, call in self._callers["report_sections"].items():
            try:
                for given in call(report=facts):
                    if problem := problem_of_sections(given):
                        raise broken_contract(plugin, "report_sections", problem)
                    sections += given
            except HooktuneError as error:
                self._report(plugin, "report_sections", str(error))
        return sorted(sections, key=lambda section: section.order)

    def tell(self, hook: ObserverHook, outcome: "Outcome") -> None:
        """Tell all plugins what has come to its end; one that fails is recorded in `failures`."""
        getattr(self._manager.hook, hook)(**vars(outcome))

    def _register(self, plugin: Plugin, part: str, functions: object) -> None:
        self._manager.register(functions, name=f"{plugin.kind} {plugin.name}: {part}")

    def _report(self, plugin: Plugin, hook: str, reason: str) -> None:
        self._record(_failure(plugin, reason, hook))

    def _record(self, failure: PluginFailure) -> None:
        known = {(recorded.kind, recorded.name, recorded.hook) for recorded in self._failures}
        # A wrapper that fails at every step says so once.
        if (failure.kind, failure.name, failure.hook) not in known:
            self._failures.append(failure)
            logger.warning("%s", failure)

    def _checked_model(self, model: Any, hook: str) -> "SentenceTransformer":
        from sentence_transformers import SentenceTransformer

        if isinstance(model, SentenceTransformer):
            return model
        raise broken_contract(
            self.method, hook, f"it returned {kind_of(model)}, not a SentenceTransformer"
        )


def _failure(plugin: Plugin, reason: str, hook: str | None = None) -> PluginFailure:
    return PluginFailure(
        plugin.name, plugin.kind, plugin.distribution, plugin.version, reason, hook
    )
