"""The model that an iteration tunes, brought into memory."""

from typing import TYPE_CHECKING

from hooktune.contract.seeding import seeded_alone
from hooktune.contract.settings import MethodSettings
from hooktune.iteration.plan import Plan
from hooktune.plugin.host import Host
from hooktune.progress import phase
from hooktune.tracking import Tracker

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load_starting_model(
    tracker: Tracker, host: Host, plan: Plan, device: str | None
) -> "SentenceTransformer":
    """Load the model that a plan starts from, or have the method make its initial one.

    Args:
        tracker: The tracking store, which may hold it.
        host: The iteration's plugins.
        plan: What is going to be done.
        device: A torch device; None for the best one for a stored model, else the processor.

    Raises:
        RequestError: The store does not hold the model any more.
        PluginError: The method failed.
    """
    seed = plan.settings.seed
    with phase("loading the model"), seeded_alone(seed):
        if plan.starting_run is not None:
            return tracker.load_model(plan.starting_run, device)
        return host.initial_model(MethodSettings(plan.initial_model, seed, device or "cpu"))
