"""One or several methods on a batch, in a process that leads others, follows one or is alone."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from threading import Event

from hooktune.contract.listing import Listing
from hooktune.contract.sessions import Batch
from hooktune.errors import FailedAloneError, HooktuneError, RequestError
from hooktune.iteration.follow import follow
from hooktune.iteration.lead import plan_work, run_iteration
from hooktune.iteration.messages import EndIteration
from hooktune.iteration.request import Request
from hooktune.iteration.result import IterationResult, MethodOutcome
from hooktune.plugin.choice import PluginChoice
from hooktune.plugin.host import Host
from hooktune.tracking import Tracker
from hooktune.training.process_group import ProcessGroup, as_told

logger = logging.getLogger(__name__)


def run_method(
    tracker: Tracker, host: Host, batch: Batch, request: Request, stop: Event, group: ProcessGroup
) -> IterationResult:
    """Run a method on a batch, as `run_iteration` does it; all processes of the group call this."""
    request = replace(request, device=group.device or usable_device(request.device))
    if not group.leads:
        return replace(follow(host, batch, group), _store=tracker.address)
    try:
        result = run_iteration(tracker, host, batch, request, stop, group)
    except FailedAloneError:
        raise  # the others are at another step, and cannot be told
    except Exception as error:
        group.share(EndIteration(error=as_told(error)))
        raise
    group.share(EndIteration(replace(result, _store=tracker.address.as_shown)))
    return result


def run_methods(
    tracker: Tracker,
    plugins: PluginChoice,
    methods: Iterable[str] | None,
    batch: Batch,
    request: Request,
    stop: Event,
    group: ProcessGroup,
) -> Listing[MethodOutcome]:
    """Run several methods on a batch, one after the other.

    Args:
        tracker: The tracking store.
        plugins: Which plugins there are.
        methods: Names or files of methods; None for all that there are.
        batch: The released batch.
        request: What is asked for of each of them.
        stop: Set from outside to end soon.
        group: The processes that train together.

    Raises:
        RequestError: One of the named methods cannot be used, or not with this request; nothing
            was run. Of all that there are, such a one counts as failed.
    """
    outcomes: list[MethodOutcome] = []
    hosts = []
    for name in plugins.method_names() if methods is None else dict.fromkeys(methods):
        try:
            hosts.append(_accepted(tracker, plugins, name, batch, request, group))
        except HooktuneError as error:
            if methods is not None:
                raise
            outcomes.append(_failed(name, error))
    for host in hosts:
        if group.share(stop.is_set()):
            break
        name = host.method.name
        try:
            result = run_method(tracker, host, batch, request, stop, group)
            outcomes.append(MethodOutcome(name, result, None))
        except FailedAloneError:
            raise
        except Exception as error:
            logger.debug("the traceback of %s", name, exc_info=True)
            outcomes.append(_failed(name, error))
    return Listing(outcomes)


def usable_device(device: str | None) -> str:
    """Return a torch device that can be used, the best one that there is where none is named.

    Raises:
        RequestError: There is no such device here.
    """
    import torch
    from sentence_transformers.util import get_device_name

    if device is None:
        return get_device_name()
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise RequestError(
            f"The device {device!r} cannot be used: {reason}. Name another one by --device, such "
            "as cpu, or leave it out."
        ) from error
    return device


def _accepted(
    tracker: Tracker,
    plugins: PluginChoice,
    name: str,
    batch: Batch,
    request: Request,
    group: ProcessGroup,
) -> Host:
    """Open a method that can do what is asked for."""
    host = plugins.open_host(name)

    def refuse_what_cannot_be_done() -> None:
        plan_work(tracker, host, batch, request)

    group.lead(refuse_what_cannot_be_done)
    return host


def _failed(method: str, error: Exception) -> MethodOutcome:
    logger.error("%s failed: %s", method, error)
    return MethodOutcome(method, None, error)
