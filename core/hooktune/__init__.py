"""hooktune runs methods that fine-tune embedding models on clickstream, as plugins.

Importing this package imports neither torch nor mlflow nor any plugin: each public name is loaded
from its module when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hooktune.batch import Batch as Batch
    from hooktune.batch import Sessions as Sessions
    from hooktune.batch import TrainingBatch as TrainingBatch
    from hooktune.checkpoint import Checkpoint as Checkpoint
    from hooktune.errors import HooktuneError as HooktuneError
    from hooktune.errors import PluginError as PluginError
    from hooktune.errors import RequestError as RequestError
    from hooktune.hookspecs import ActiveRun as ActiveRun
    from hooktune.markers import hookimpl as hookimpl
    from hooktune.metrics import MainMetric as MainMetric
    from hooktune.promotion import load_champion as load_champion
    from hooktune.randomness import seeded as seeded
    from hooktune.runner import Runner as Runner
    from hooktune.settings import MethodSettings as MethodSettings
    from hooktune.settings import SearchChoices as SearchChoices
    from hooktune.settings import SearchRange as SearchRange
    from hooktune.training import Loss as Loss
    from hooktune.training import train as train
    from hooktune.training_params import TrainingParams as TrainingParams

__version__: Final = "0.1.0"

_HOME: Final = {
    "ActiveRun": "hookspecs",
    "Batch": "batch",
    "Checkpoint": "checkpoint",
    "HooktuneError": "errors",
    "Loss": "training",
    "MainMetric": "metrics",
    "MethodSettings": "settings",
    "PluginError": "errors",
    "RequestError": "errors",
    "Runner": "runner",
    "SearchChoices": "settings",
    "SearchRange": "settings",
    "Sessions": "batch",
    "TrainingBatch": "batch",
    "TrainingParams": "training_params",
    "hookimpl": "markers",
    "load_champion": "promotion",
    "seeded": "randomness",
    "train": "training",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
