"""The way in: one object for a tracking store, which does all that the command line does."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Unpack

from hooktune.contract.listing import Listing
from hooktune.contract.sessions import Batch
from hooktune.errors import HooktuneError
from hooktune.iteration.lookup import opened_batch
from hooktune.iteration.progress_display import shown_in_notebook
from hooktune.iteration.request import RunOptions, make_request
from hooktune.iteration.result import IterationResult, MethodOutcome
from hooktune.iteration.store_reader import StoreReader
from hooktune.plugin.choice import PluginChoice
from hooktune.plugin.file import SUFFIX
from hooktune.progress import Progress, listening
from hooktune.tracking import Delivered, Tracker

if TYPE_CHECKING:
    from hooktune.evaluation.champion import Rollback
    from hooktune.evaluation.comparison import Comparison
    from hooktune.evaluation.contest import Requirement
    from hooktune.evaluation.promotion import Promotion
    from hooktune.training.process_group import ProcessGroup

logger = logging.getLogger(__name__)


class Runner(StoreReader):
    """Runs methods on batches, and gives what a tracking store holds of them.

    Making one costs nothing: the store is opened when it is first needed, and so are plugins.

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
        on_progress: Is called in the middle of the work with how far it has come, and should be
            quick; what it raises ends the work.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        block: Iterable[str] = (),
        only: Iterable[str] | None = None,
        plugins: Iterable[object] = (),
        spool: str | Path | None = None,
        group: "ProcessGroup | None" = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        super().__init__(Tracker(tracking_uri, spool), PluginChoice(block, only, plugins))
        self._given_group = group
        self._on_progress = on_progress
        self._at_work: list[Event] = []

    def __repr__(self) -> str:
        return f"Runner({self.tracker.tracking_uri!r})"

    def run(
        self, method: str, batch: str | Path | Batch, **options: Unpack[RunOptions]
    ) -> IterationResult:
        """Run a method on a batch under several sets of hyper-parameters and keep the best model.

        An iteration that exists is continued: its finished runs stand, and what it is about can't
        be changed any more.

        Args:
            method: The display name of a method that is installed or among `plugins`, or the path
                of a Python file, which ends with `.py`.
            batch: A released batch, or its folder.
            options: What is asked for, such as `max_runs` and `params`: the fields of `RunOptions`.

        Raises:
            RequestError: The request cannot be carried out as made; nothing is stored for it.
            StoreAwayError: The store went away and stayed away; what was learned is kept in the
                spool, for `sync` or the next call.
            HooktuneError: The work failed.
        """
        request = make_request(options)
        # Not sooner: it takes seconds, which a wrong request is not worth.
        from hooktune.iteration.methods import run_method

        with self._working() as stop:
            host = self._plugins.open_host(method)
            released = opened_batch(batch)
            return run_method(self.tracker, host, released, request, stop, self._group)

    def run_all(
        self,
        methods: Iterable[str] | None,
        batch: str | Path | Batch,
        **options: Unpack[RunOptions],
    ) -> Listing[MethodOutcome]:
        """Run several methods on a batch, one after the other; `compare` compares them.

        A method that fails does not keep the others from being run.

        Args:
            methods: Their names or files, as for `run`. With None all that there are; one of them
                that cannot be used counts as failed.
            batch: A released batch, or its folder.
            options: As for `run`; they hold for every method.

        Raises:
            RequestError: One of the named methods cannot be used, or not with these options;
                nothing was run.
        """
        request = make_request(options)
        released = opened_batch(batch)
        from hooktune.iteration.methods import run_methods

        with self._working() as stop:
            return run_methods(
                self.tracker, self._plugins, methods, released, request, stop, self._group
            )

    def stop(self) -> None:
        """Ask the calls that are at work in other threads to end soon; their runs are KILLED."""
        for stop in tuple(self._at_work):
            stop.set()

    def compare(
        self,
        batch: str | Path | Batch,
        *,
        baselines: bool = False,
        judgements: str | Path | None = None,
        device: str | None = None,
    ) -> "Comparison":
        """Put all methods that ran on a batch side by side.

        Args:
            batch: A released batch, its folder, or the beginning of its id.
            baselines: Whether to measure what can be had without tuning, which needs the batch.
            judgements: The file that the methods were measured by, to measure the baselines too.
            device: A torch device to measure them on; by default the best one that there is.

        Raises:
            RequestError: No method has run on it, or the baselines cannot be measured.
        """
        from hooktune.iteration.comparing import compare_on_batch

        with self._working():
            return compare_on_batch(
                self.tracker, self._plugins, batch, baselines, judgements, device
            )

    def promote(
        self,
        method: str,
        batch: str | Path | Batch | None = None,
        *,
        require: "Requirement | None" = None,
        force: bool = False,
        device: str | None = None,
    ) -> "Promotion":
        """Register a method's best model as its champion, if the evidence speaks for it.

        On the same queries, it has to be better by the main metric beyond its interval, and not
        worse by NDCG@10; the first champion not worse than the model that it was tuned from.

        Args:
            method: As in `run`.
            batch: A released batch, or its folder, to measure both on, where no iteration has.
            require: What the main metric has to say, where that is not to depend on the case.
            force: Promote it whatever the comparison says.
            device: A torch device to measure on; by default the best one that there is.

        Raises:
            RequestError: There is nothing to promote, or a batch is needed.
            HooktuneError: Something speaks against the model, and the champion stays.
        """
        if not (is_file := method.endswith(SUFFIX)):
            self.best(method)
        released = None if batch is None else opened_batch(batch)
        # Not sooner: it takes seconds, which a wrong request is not worth.
        from hooktune.evaluation.promotion import promote
        from hooktune.iteration.methods import usable_device

        with self._working():
            name = self._plugins.open_host(method).method.name if is_file else method
            promotion = promote(
                self.tracker, name, lambda: self._plugins.open_host(method), released,
                require=require, force=force, device=usable_device(device),
            )  # fmt: skip
            if promotion.is_new:
                self._tell_promoted(method, promotion)
        return promotion

    def roll_back(self, method: str) -> "Rollback":
        """Make the champion before the present one the champion again.

        Raises:
            RequestError: There is no champion, or none before it.
        """
        from hooktune.evaluation.champion import roll_back

        return roll_back(self.tracker, method)

    def sync(self) -> Listing[Delivered]:
        """Bring to the store what waits on disk; what cannot be brought is named and kept."""
        return Listing(self.tracker.sync())

    @property
    def _group(self) -> "ProcessGroup":
        from hooktune.training.process_group import ALONE

        return self._given_group or ALONE

    def _tell_promoted(self, method: str, promotion: "Promotion") -> None:
        from hooktune.evaluation.outcome import tell_promoted

        try:
            tell_promoted(self.tracker, self._plugins.open_host(method), promotion)
        except HooktuneError as error:
            logger.warning("no plugin is told of the promotion: %s", error)

    @contextmanager
    def _working(self) -> Iterator[Event]:
        """Give what ends the call that is at work, and hand its progress on."""
        stop = Event()
        self._at_work.append(stop)
        try:
            with ExitStack() as shown:
                if self._on_progress is not None:
                    shown.enter_context(listening(self._on_progress))
                shown.enter_context(shown_in_notebook())
                yield stop
        finally:
            self._at_work.remove(stop)
