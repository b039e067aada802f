"""Under which addresses people and programs find a run, its model and its store."""

from urllib.parse import urlsplit, urlunsplit

from hooktune.contract.outcome import Addresses
from hooktune.tracking.connection import without_password


def addresses_of(
    tracking_uri: str, experiment_id: str, run_id: str | None, model: str | None
) -> Addresses:
    """Return the addresses of a run, or of its experiment where there is none.

    Args:
        tracking_uri: The store.
        experiment_id: MLflow's id of the experiment.
        run_id: The run.
        model: The address of its model, if one is kept.
    """
    pages = _server_page(tracking_uri)
    run = f"/runs/{run_id}" if run_id else ""
    page = None if pages is None else f"{pages}/#/experiments/{experiment_id}{run}"
    return Addresses(without_password(tracking_uri), model, page)


def _server_page(tracking_uri: str) -> str | None:
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return None
    # A browser asks for the user's name and password itself.
    server = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, server, parts.path.rstrip("/"), "", ""))
