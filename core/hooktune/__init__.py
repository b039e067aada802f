"""hooktune runs methods that fine-tune embedding models on clickstream, as plugins.

Importing this package imports neither torch nor mlflow nor any plugin: each public name is loaded
from its module when it is first used.
"""

from typing import TYPE_CHECKING, Final

from hooktune._lazy import lazy_names
from hooktune._version import __version__

if TYPE_CHECKING:
    from hooktune.contract.checkpoint import Checkpoint as Checkpoint
    from hooktune.contract.hooks import ActiveRun as ActiveRun
    from hooktune.contract.hooks import hookimpl as hookimpl
    from hooktune.contract.metric import MainMetric as MainMetric
    from hooktune.contract.params import TrainingParams as TrainingParams
    from hooktune.contract.search_space import SearchChoices as SearchChoices
    from hooktune.contract.search_space import SearchRange as SearchRange
    from hooktune.contract.seeding import seeded as seeded
    from hooktune.contract.sessions import Batch as Batch
    from hooktune.contract.sessions import Sessions as Sessions
    from hooktune.contract.sessions import TrainingBatch as TrainingBatch
    from hooktune.contract.settings import MethodSettings as MethodSettings
    from hooktune.errors import HooktuneError as HooktuneError
    from hooktune.errors import PluginError as PluginError
    from hooktune.errors import RequestError as RequestError
    from hooktune.evaluation.promotion import load_champion as load_champion
    from hooktune.iteration.runner import Runner as Runner
    from hooktune.training.loop import Loss as Loss
    from hooktune.training.loop import train as train

_HOME: Final = {
    "ActiveRun": "contract.hooks",
    "Batch": "contract.sessions",
    "Checkpoint": "contract.checkpoint",
    "HooktuneError": "errors",
    "Loss": "training.loop",
    "MainMetric": "contract.metric",
    "MethodSettings": "contract.settings",
    "PluginError": "errors",
    "RequestError": "errors",
    "Runner": "iteration.runner",
    "SearchChoices": "contract.search_space",
    "SearchRange": "contract.search_space",
    "Sessions": "contract.sessions",
    "TrainingBatch": "contract.sessions",
    "TrainingParams": "contract.params",
    "hookimpl": "contract.hooks",
    "load_champion": "evaluation.promotion",
    "seeded": "contract.seeding",
    "train": "training.loop",
}

__all__ = ["__version__", *sorted(_HOME)]


__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
