"""Under which addresses people and programs find a run, its model and its store."""

from hooktune.contract.outcome import Addresses
from hooktune.tracking.store_address import StoreAddress


def addresses_of(
    store: StoreAddress, experiment_id: str, run_id: str | None, model: str | None
) -> Addresses:
    """Return the addresses of a run, or of its experiment where there is none.

    Args:
        store: The store.
        experiment_id: MLflow's id of the experiment.
        run_id: The run.
        model: The address of its model, if one is kept.
    """
    run = f"/runs/{run_id}" if run_id else ""
    # A browser asks for the user's name and password itself.
    pages = None if store.page is None else store.page.rstrip("/")
    page = None if pages is None else f"{pages}/#/experiments/{experiment_id}{run}"
    return Addresses(store.shown, model, page)
