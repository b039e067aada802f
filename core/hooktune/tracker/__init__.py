"""The tracking store as hooktune sees it: iterations, runs, metrics, and the one best model.

The only package that imports mlflow, and it uses `MlflowClient` alone: no active run, no tracking
URI of the whole process.
"""

from hooktune.tracker.records import Iteration, RunRecord
from hooktune.tracker.store import resolve_tracking_uri
from hooktune.tracker.tracker import Tracker

__all__ = ["Iteration", "RunRecord", "Tracker", "resolve_tracking_uri"]
