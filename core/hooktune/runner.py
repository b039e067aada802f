"""The way in: runs a method on a released batch."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

from hooktune.catalogue import read_catalogue
from hooktune.contract import Plugin, given_plugin
from hooktune.host import Host, open_host
from hooktune.iteration_work import IterationResult, run_iteration
from hooktune.metrics import MainMetric
from hooktune.planning import DEFAULT_MAX_RUNS, Request
from hooktune.plugin_check import PluginChecks, refuse_failed
from hooktune.plugin_file import SUFFIX, plugin_from_file
from hooktune.promotion import Promotion, promote
from hooktune.release import open_batch
from hooktune.settings import BaselineKind
from hooktune.tracker import Tracker


class Runner:
    """Runs methods on batches and tracks what they do.

    Args:
        tracking_uri: The MLflow store; None for `HOOKTUNE_TRACKING_URI`, `MLFLOW_TRACKING_URI` or
            `sqlite:///mlflow.db` in the working folder, in this order.
        block: Plugins that must not be imported, by entry point or distribution name.
        only: The closed list of plugins that may be imported; None allows all that are installed.
        plugins: Plugins that need not be installed: modules, objects, or paths of Python files.
            Each is named by its `NAME`; otherwise by its module, its class or its file.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        block: Iterable[str] = (),
        only: Iterable[str] | None = None,
        plugins: Iterable[object] = (),
    ) -> None:
        self.tracker = Tracker(tracking_uri)
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
        seed: int | None = None,
        test_ratio: float | None = None,
        main_metric: str | MainMetric | None = None,
        baseline: BaselineKind | None = None,
        initial_model: str | None = None,
        device: str | None = None,
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
            seed: The seed of the split and of all training; 0 by default.
            test_ratio: The share of the queries that are held out for testing; 0.2 by default.
            main_metric: Chooses the best model, such as `test_ndcg_at_10` or `test_loss:min`.
            baseline: Measure distance shift from the `starting` model's similarities (the default)
                or from the `recorded` rank scores.
            initial_model: A folder or hub name to start from, when the method has no initial model
                yet; by default the method chooses.
            device: A torch device; by default the best one that there is.

        Raises:
            RequestError: The request cannot be carried out as made; the store is untouched.
            HooktuneError: The work failed.
        """
        if isinstance(main_metric, str):
            main_metric = MainMetric.parse(main_metric)
        host = self._open_host(method)
        request = Request(
            max_runs, params or {}, start, seed, test_ratio, main_metric, baseline, initial_model,
            device or _best_device(),
        )  # fmt: skip
        released = open_batch(Path(batch))
        return run_iteration(self.tracker, host, released, request, self._stop)

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
            with PluginChecks(foreign) as checks:
                import sentence_transformers  # noqa: F401 - takes as long as the checks

                catalogue = refuse_failed(catalogue, checks.verdicts())
        return open_host(catalogue, method, given)


def _given_plugin(found: object) -> Plugin:
    return plugin_from_file(found) if isinstance(found, str | Path) else given_plugin(found)


def _best_device() -> str:
    from sentence_transformers.util import get_device_name

    return get_device_name()
