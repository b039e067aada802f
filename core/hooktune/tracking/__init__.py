"""The tracking store as hooktune sees it: iterations, runs, metrics, and the one best model.

The only package that imports mlflow, and it uses `MlflowClient` alone: no active run, no tracking
URI of the whole process.
"""

from hooktune.tracking.connection import resolve_tracking_uri
from hooktune.tracking.outbox.outbox import Delivered
from hooktune.tracking.records import Iteration, RunRecord
from hooktune.tracking.store_address import StoreAddress, without_password
from hooktune.tracking.tracker import Tracker

__all__ = [
    "Delivered",
    "Iteration",
    "RunRecord",
    "StoreAddress",
    "Tracker",
    "resolve_tracking_uri",
    "without_password",
]
