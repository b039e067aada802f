"""The way in: runs a method on a released batch."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Unpack

from hooktune.contract.sessions import Batch
from hooktune.contract.settings import AskedSettings
from hooktune.data.release import open_batch
from hooktune.errors import HooktuneError, RequestError
from hooktune.evaluation.promotion import Promotion, promote
from hooktune.iteration.follow import follow
from hooktune.iteration.lead import run_iteration
from hooktune.iteration.messages import EndIteration
from hooktune.iteration.plan import DEFAULT_CHECKPOINT_EVERY, DEFAULT_MAX_RUNS, Request
from hooktune.iteration.result import IterationResult
from hooktune.iteration.search import parse_params
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.checks import Plugin, given_plugin
from hooktune.plugin.file import SUFFIX, plugin_from_file
from hooktune.plugin.host import Host, open_host
from hooktune.plugin.isolation import PluginChecks, refuse_failed
from hooktune.progress import phase
from hooktune.tracking import Tracker
from hooktune.training.process_group import ALONE, ProcessGroup, as_told

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MethodOutcome:
    """What came of one of several methods: a result, or the error that it failed with."""

    method: str
    result: IterationResult | None
    error: Exception | None


class Runner:
    """Runs methods on batches and tracks what they do.

    Args:
        tracking_uri: The MLflow store; None for `HOOKTUNE_TRACKING_URI`, `MLFLOW_TRACKING_URI` or
            `sqlite:///mlflow.db` in the working folder, in this order.
        block: Plugins that must not be imported, by entry point or distribution name.
        only: The closed list of plugins that may be imported; None allows all that are installed.
        plugins: Plugins that need not be installed: modules, objects, or paths of Python files.
            Each is named by its `NAME`; otherwise by its module, its class or its file.
        spool: A folder for what cannot be brought to a store that is away; None for
            `HOOKTUNE_SPOOL` or `hooktune-spool` in the working folder. It is made when needed.
        group: The processes that train together, from `join_process_group`; each of them
            makes the same calls. By default this one trains alone.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        block: Iterable[str] = (),
        only: Iterable[str] | None = None,
        plugins: Iterable[object] = (),
        spool: str | Path | None = None,
        group: ProcessGroup = ALONE,
    ) -> None:
        self.tracker = Tracker(tracking_uri, spool)
        self._group = group
        self._block = tuple(block)
        self._only = None if only is None else tuple(only)
        self._plugins = tuple(plugins)
        self._stop = Event()

    def stop(self) -> None:
        """Ask the run at work to end soon, from another thread; it is recorded as KILLED."""
        self._stop.set()

    def run(
        self,
        method: str,
        batch: str | Path,
        *,
        max_runs: int = DEFAULT_MAX_RUNS,
        params: Mapping[str, Any] | None = None,
        start: str | None = None,
        initial_model: str | None = None,
        device: str | None = None,
        checkpoint_every: float = DEFAULT_CHECKPOINT_EVERY,
        **settings: Unpack[AskedSettings],
    ) -> IterationResult:
        """Run a method on a batch under several sets of hyper-parameters and keep the best model.

        An iteration that exists is continued: its finished runs stand, and what it is about can't
        be changed any more.

        Args:
            method: The display name of a method that is installed or among `plugins`, or the path
                of a Python file, which ends with `.py`.
            batch: The folder of a released batch.
            max_runs: How many sets of hyper-parameters at most.
            params: Hyper-parameters that hold in all runs, by name.
            start: The model to tune: `initial`, `last` (the best one of the method's last finished
                iteration; the default) or the id of a run that has a model.
            initial_model: A folder or hub name to start from, when the method has no initial model
                yet; by default the method chooses.
            device: A torch device; by default the best one that there is.
            checkpoint_every: After how many seconds a run keeps its state in the store, to be gone
                on with if the process dies; 0 for after each step.
            settings: What the iteration is about, such as `seed` and `main_metric`: the fields of
                `AskedSettings`.

        Raises:
            RequestError: The request cannot be carried out as made; the store is untouched.
            StoreAwayError: The store went away and stayed away; what was learned is kept in the
                spool, for `hooktune sync` or the next call.
            HooktuneError: The work failed.
        """
        host = self._open_host(method)
        request = _request(
            max_runs=max_runs, params=params, start=start, initial_model=initial_model,
            device=device, checkpoint_every=checkpoint_every, **settings,
        )  # fmt: skip
        released = open_batch(Path(batch))
        return self._iterate(host, released, request)

    def promote(
        self,
        method: str,
        batch: str | Path | None = None,
        *,
        force: bool = False,
        device: str | None = None,
    ) -> Promotion:
        """Register a method's best model as its champion, if it is better than the present one.

        Better means: it beats it by the main metric and does not rank worse by NDCG@10, on the
        same sessions. The first champion is compared with the model that it was tuned from.

        Args:
            method: As in `run`.
            batch: The folder of a released batch to measure both models on; needed where no
                iteration has measured both. Sessions that the method trained on are left out.
            force: Promote it whatever the comparison says.
            device: A torch device to measure on; by default the best one that there is.

        Raises:
            RequestError: There is nothing to promote, or a batch is needed to compare.
            HooktuneError: The model is not better, and the champion stays.
        """
        name = self._open_host(method).method.name if method.endswith(SUFFIX) else method
        released = None if batch is None else open_batch(Path(batch))
        return promote(
            self.tracker,
            name,
            lambda: self._open_host(method),
            released,
            force=force,
            device=device or _best_device(),
        )

    def run_all(
        self, methods: Iterable[str] | None, batch: str | Path, **choices: Any
    ) -> list[MethodOutcome]:
        """Run several methods on a batch, one after the other; `hooktune compare` compares them.

        A method that fails does not keep the others from being run.

        Args:
            methods: Their names or files, as for `run`. With None all that there are; one of them
                that cannot be used counts as failed.
            batch: The folder of a released batch.
            choices: As for `run`; they hold for every method.

        Raises:
            RequestError: One of the named methods cannot be used, or not with these choices;
                nothing was run.
        """
        names = self._method_names() if methods is None else list(dict.fromkeys(methods))
        request, released = _request(**choices), open_batch(Path(batch))
        outcomes: list[MethodOutcome] = []
        hosts = []
        for name in names:
            try:
                host = self._open_host(name)
                parse_params(host.hyper_parameters(), request.params)
                hosts.append(host)
            except HooktuneError as error:
                if methods is not None:
                    raise
                outcomes.append(_failed(name, error))
        for host in hosts:
            if self._group.share(self._stop.is_set()):
                break
            name = host.method.name
            try:
                result = self._iterate(host, released, request)
                outcomes.append(MethodOutcome(name, result, None))
            except Exception as error:
                logger.debug("the traceback of %s", name, exc_info=True)
                outcomes.append(_failed(name, error))
        return outcomes

    def _iterate(self, host: Host, batch: Batch, request: Request) -> IterationResult:
        group = self._group
        if group.size == 1:
            return run_iteration(self.tracker, host, batch, request, self._stop)
        request = replace(request, device=group.device)
        if not group.leads:
            return follow(host, batch, group)
        try:
            result = run_iteration(self.tracker, host, batch, request, self._stop, group)
        except Exception as error:
            group.share(EndIteration(error=as_told(error)))
            raise
        group.share(EndIteration(result))
        return result

    def _method_names(self) -> list[str]:
        installed = read_catalogue(self._block, self._only).available("method")
        given = map(_given_plugin, self._plugins)
        names = [entry.name for entry in installed]
        names += [plugin.name for plugin in given if plugin.kind == "method"]
        if not names:
            raise RequestError("There is no method that could be run. See `hooktune plugins`.")
        return names

    def _open_host(self, method: str) -> Host:
        """Import the method and the extensions; those of others not before they are checked."""
        catalogue = read_catalogue(self._block, self._only)
        given = [_given_plugin(each) for each in self._plugins]
        names = [plugin.name for plugin in given if plugin.kind == "method"]
        wanted = list(catalogue.available("extension"))
        if method in names:
            pass
        elif method.endswith(SUFFIX):
            given.append(plugin_from_file(method, "method"))
            method = given[-1].name
        else:
            wanted.append(catalogue.method(method, names))
        foreign = [entry for entry in wanted if not entry.is_bundled]
        if foreign:
            checking = phase("checking that the plugins can be imported", len(foreign))
            with checking, PluginChecks(foreign) as checks:
                import sentence_transformers  # noqa: F401 - takes as long as the checks

                catalogue = refuse_failed(catalogue, checks.verdicts())
        return open_host(catalogue, method, given)


def _given_plugin(found: object) -> Plugin:
    return plugin_from_file(found) if isinstance(found, str | Path) else given_plugin(found)


def _failed(method: str, error: Exception) -> MethodOutcome:
    logger.error("%s failed: %s", method, error)
    return MethodOutcome(method, None, error)


def _request(
    *,
    max_runs: int = DEFAULT_MAX_RUNS,
    params: Mapping[str, Any] | None = None,
    start: str | None = None,
    initial_model: str | None = None,
    device: str | None = None,
    checkpoint_every: float = DEFAULT_CHECKPOINT_EVERY,
    **settings: Unpack[AskedSettings],
) -> Request:
    device = device or _best_device()
    return Request(max_runs, params or {}, start, settings, initial_model, device, checkpoint_every)


def _best_device() -> str:
    from sentence_transformers.util import get_device_name

    return get_device_name()
