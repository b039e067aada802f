"""The names of experiments, which nothing else builds or parses, and which names MLflow takes."""

import hashlib
import posixpath
import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from hooktune.errors import RequestError

INITIAL_EXPERIMENT: Final = "iteration / initial"
INITIAL_RUN: Final = "initial_model"
ITERATION_PREFIX: Final = "iteration / "

_SEPARATOR: Final = " / "
_BATCH_ID = re.compile(r"[0-9a-f]{24}")
_MAX_EXPERIMENT_NAME: Final = 500
_LEGAL_KEY: Final = re.compile(r"[\w\-.:/ ]+")
# MLflow takes 250 characters, and `train_` and the running figures' prefixes need some of them.
_MAX_KEY: Final = 200
_MAX_MODEL_NAME: Final = 200
_NOT_IN_MODEL_NAMES = re.compile(r"[/:@#?%]|^\.+")


@dataclass(frozen=True, order=True)
class IterationName:
    """One method on one batch."""

    method: str
    batch_id: str

    def __str__(self) -> str:
        return f"{ITERATION_PREFIX}{self.method}{_SEPARATOR}{self.batch_id}"


def is_batch_id(text: str) -> bool:
    """Tell whether a text has the form of a batch id: 24 lower-case hexadecimal digits."""
    return _BATCH_ID.fullmatch(text) is not None


def check_method_name(name: str) -> str:
    """Return a method's display name as it is, or refuse one that no experiment could carry.

    Raises:
        RequestError: The name is empty, has blanks at an end, control characters or " / " in it,
            is `initial`, or is too long for an experiment name of at most 500 characters.
    """
    room = _MAX_EXPERIMENT_NAME - len(ITERATION_PREFIX) - len(_SEPARATOR) - 24
    problem = None
    if not name or name != name.strip():
        problem = "it is empty or begins or ends with a blank"
    elif not name.isprintable():
        problem = "it holds a control character"
    elif _SEPARATOR in f" {name} ":
        problem = "it holds ' / ', which separates the parts of an experiment's name"
    elif name == "initial":
        problem = "'initial' names the experiment of the initial models"
    elif len(name) > room:
        problem = f"it is longer than {room} characters"
    if problem:
        raise RequestError(f"{name!r} cannot be a method's name: {problem}. Choose another one.")
    return name


def iteration_name(method: str, batch_id: str) -> IterationName:
    """Build the name of an iteration, checking both of its parts.

    Raises:
        RequestError: One of the parts cannot stand in an experiment's name.
    """
    if not is_batch_id(batch_id):
        raise RequestError(f"{batch_id!r} is no batch id: 24 lower-case hexadecimal digits.")
    return IterationName(check_method_name(method), batch_id)


def parse_experiment_name(name: str) -> IterationName | None:
    """Read an experiment's name; None for one that is not the name of an iteration."""
    parts = name.split(_SEPARATOR)
    if len(parts) != 3 or parts[0] + _SEPARATOR != ITERATION_PREFIX:
        return None
    try:
        return iteration_name(parts[1], parts[2])
    except RequestError:
        return None


def registered_model_name(method: str) -> str:
    """Return the name under which MLflow's model registry holds a method's champion.

    It is the method's own name. Where that holds what stands for something else in the address of
    a model (`/ : @ # ? %`, or dots at its beginning), or is longer than 200 characters, that is
    replaced by `-` or cut, and eight digits of the name's digest keep two such names apart.

    Raises:
        RequestError: No method can have the name.
    """
    legal = _NOT_IN_MODEL_NAMES.sub("-", check_method_name(method))[:_MAX_MODEL_NAME]
    if legal == method:
        return method
    return f"{legal.rstrip()} {hashlib.sha256(method.encode()).hexdigest()[:8]}"


@cache
def problem_of_key(name: object) -> str:
    """Say what keeps MLflow from taking the name of a metric or param; empty where nothing."""
    if not isinstance(name, str):
        return "has a name that is no text"
    if not _LEGAL_KEY.fullmatch(name):
        return "has a name with other characters than letters, digits, blanks and _ - . : /"
    if len(name) > _MAX_KEY:
        return f"has a name of more than {_MAX_KEY} characters"
    # MLflow keeps a name as a path of files.
    if posixpath.normpath(name) != name or name.startswith(("/", "..")) or name == ".":
        return "has a name that is no plain path: mind the slashes and dots"
    return ""
