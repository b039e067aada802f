"""The part in an iteration of a process that follows another one: it trains along, and is mute."""

import copy
import logging

from hooktune.active_run import FollowingRun
from hooktune.batch import Batch, held_out_sessions
from hooktune.encoding import TextEncoder
from hooktune.errors import HooktuneError
from hooktune.host import Host
from hooktune.iteration_work import IterationResult
from hooktune.lockstep import Beginning, Ending, Fit, unpacked_model
from hooktune.randomness import seeded_alone
from hooktune.ranks import Group
from hooktune.settings import IterationSettings
from hooktune.starting import Start, measure_start

logger = logging.getLogger(__name__)


def follow(host: Host, batch: Batch, group: Group) -> IterationResult:
    """Take part in what the leading process does with `run_iteration`.

    Args:
        host: The same plugins as there.
        batch: The same batch.
        group: The processes that train together.

    Returns:
        What `run_iteration` has returned there.

    Raises:
        HooktuneError: The leading process has failed.
    """
    begun: tuple[IterationSettings, Start] | None = None
    while True:
        told = group.share()
        if isinstance(told, Ending):
            if told.error is not None:
                raise told.error
            result: IterationResult = told.result
            return result
        if isinstance(told, Beginning):
            begun = told.settings, _begin(host, batch, told, group)
        elif isinstance(told, Fit) and begun is not None:
            _fit(host, *begun, told, group)
        else:
            raise HooktuneError(f"The leading process is at another step: {type(told).__name__}.")


def _begin(host: Host, batch: Batch, told: Beginning, group: Group) -> Start:
    model = unpacked_model(told.model, group.device)
    encoder = TextEncoder(model, told.frozen_layers, group)
    in_test = held_out_sessions(batch.sessions, told.settings.test_ratio, told.settings.seed)
    return measure_start(host, batch, in_test, told.settings, encoder)


def _fit(host: Host, settings: IterationSettings, start: Start, told: Fit, group: Group) -> None:
    space = host.hyper_parameters()
    params = None if space is None or told.params is None else space.model_validate(told.params)
    try:
        with seeded_alone(settings.seed):
            run = FollowingRun(settings.seed, settings.main_metric, start.measure, group)
            model = host.fit_batch(run, copy.deepcopy(start.model), start.training, params)
        run.evaluate(model, run.last_step)
    except Exception:
        # It fails in the leading process as well, which records why and goes on.
        logger.debug("the run has failed in process %d", group.rank, exc_info=True)
