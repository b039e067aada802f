"""The champion of a method: loaded to be served, and given back to the one before.

Nothing here needs torch before a model is loaded.
"""

from typing import TYPE_CHECKING, NamedTuple

from hooktune.errors import RequestError
from hooktune.tracking import Tracker
from hooktune.tracking.models import champions
from hooktune.tracking.models.champions import ModelVersion

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Rollback(NamedTuple):
    """What going back to an earlier champion came to."""

    before: ModelVersion
    """The champion until now."""
    champion: ModelVersion
    """The champion from now on."""


def roll_back(tracker: Tracker, method: str) -> Rollback:
    """Make the champion before the present one the champion again.

    Raises:
        RequestError: There is no champion, or none before it.
    """
    champion = _champion_in(tracker, method)
    if champion.replaced is None:
        raise RequestError(
            f"Version {champion.number} of {champion.model} replaced no champion, so that there "
            "is none to go back to. Move its alias in MLflow to choose freely."
        )
    earlier = champions.find_version(tracker.client, champion.model, champion.replaced)
    if earlier is None:
        raise RequestError(
            f"Version {champion.replaced} of {champion.model}, the champion before, was deleted "
            "in MLflow. Move the alias there to choose another one."
        )
    champions.load_version(tracker.client, earlier, "cpu")
    champions.step_back(tracker.client, champion, earlier)
    return Rollback(champion, earlier)


def load_champion(
    method: str, tracking_uri: str | None = None, *, device: str | None = None
) -> "SentenceTransformer":
    """Load a method's champion, to serve it.

    Args:
        method: The method's display name.
        tracking_uri: The MLflow store, as `Runner` takes it.
        device: A torch device; by default the best one that there is.

    Raises:
        RequestError: The method has no champion.
        UnsafeModelError: A file of it is of no kind that is known to be safe.
    """
    return champion_of(Tracker(tracking_uri), method, device)


def champion_of(tracker: Tracker, method: str, device: str | None = None) -> "SentenceTransformer":
    """Load the champion of a method from a store that is open; see `load_champion`."""
    return champions.load_version(tracker.client, _champion_in(tracker, method), device)


def _champion_in(tracker: Tracker, method: str) -> ModelVersion:
    champion = tracker.champion(method)
    if champion is None:
        raise RequestError(f"{method!r} has no champion. `hooktune promote` makes one.")
    return champion
