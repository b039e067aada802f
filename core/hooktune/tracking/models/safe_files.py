"""Which files a model of a store may consist of: those that cannot carry code.

A pickle runs whatever it likes when it is loaded, and some configurations make the libraries
import Python files or fetch other models. Both are looked for before anything is loaded.
"""

import json
import os
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from hooktune.errors import UnsafeModelError
from hooktune.tracking.models.safe_settings import problem_of_settings
from hooktune.tracking.models.value_kinds import is_number

_SAFETENSORS: Final = ".safetensors"
_TEXTS: Final = (".txt", ".md", ".yaml", ".jinja")
_DESCRIPTION: Final = "MLmodel"
_VOCABULARIES: Final = ("sentencepiece.bpe.model", "spiece.model", "tokenizer.model")
_PICKLE_OR_ZIP: Final = (b"\x80", b"PK")
_LONGEST_HEADER: Final = 100_000_000  # safetensors' own limit

_WORDS_ALONE: Final = ("vocab.json", "added_tokens.json")
"""JSON files whose keys are words of a vocabulary, and whose values are their numbers."""
_ADAPTER: Final = "adapter_config.json"

_FLAVORS: Final = {
    "python_function": ("data", "env", "loader_module", "python_version"),
    "sentence_transformers": (
        "pipeline_model_type", "sentence_transformers_version", "source_model_name", "task",
    ),
}  # fmt: skip
"""What a model's description may tell to stock MLflow, by the flavour that reads it."""

_ENVIRONMENTS: Final = ("requirements.txt", "conda.yaml", "python_env.yaml")
_REQUIREMENT: Final = re.compile(
    r"(mlflow|sentence-transformers|torch|transformers)(==[\w.+]+)?|(python(=|: )|pip(<=|==)?"
    r"|setuptools==|wheel==)[\d.]+|wheel|pip:?|name: mlflow-env|conda-forge|-r requirements\.txt"
    r"|(channels|dependencies|build_dependencies):"
)


def refuse_unsafe(owner: str, problem: str | None) -> None:
    """Refuse a model that has a problem.

    Args:
        owner: Whose model it is, for the message.
        problem: What one of the functions of this module has found, or None.

    Raises:
        UnsafeModelError: There is a problem.
    """
    if problem:
        raise UnsafeModelError(
            f"The model of {owner} is refused, and nothing of it was loaded: {problem}. A model "
            "may hold safetensors, JSON and text, and modules of sentence-transformers alone."
        )


def problem_of_names(names: Iterable[str]) -> str | None:
    """Say what is wrong with the paths of a model's files, or return None.

    Args:
        names: Paths relative to the model's folder, parted by `/`.
    """
    for name in names:
        if problem := problem_of_path(name):
            return problem
        path = PurePosixPath(name)
        known = path.suffix in (_SAFETENSORS, ".json", *_TEXTS) or path.name in _VOCABULARIES
        if not known and name != _DESCRIPTION:
            return f"{name!r} is no file of a kind that is known to be safe"
    return None


def problem_of_path(name: str) -> str | None:
    """Say that a path leads out of its folder, or return None."""
    parts = re.split(r"[/\\]", name)
    if ".." in parts or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return f"the path {name!r} leads out of the model's folder"
    return None


def problem_of_folder(folder: Path) -> str | None:
    """Say what makes a model's folder unsafe to load from, or return None.

    Nothing in it is loaded: names, JSON texts and the headers of weights are looked at.
    """
    if folder.is_symlink():
        return "its folder is a link"
    names = []
    for entry in _entries(folder):
        name = Path(entry.path).relative_to(folder).as_posix()
        if entry.is_symlink():
            return f"{name!r} is a link"
        if entry.is_file(follow_symlinks=False):
            names.append(name)
        elif not entry.is_dir(follow_symlinks=False):
            return f"{name!r} is neither a file nor a folder"
    problems = (_problem_of_file(folder, name) for name in sorted(names))
    return problem_of_names(names) or next(filter(None, problems), None)


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path))


def _problem_of_file(folder: Path, name: str) -> str | None:
    path = folder / name
    if path.suffix == _SAFETENSORS:
        return None if _has_header(path) else f"{name!r} does not hold what its name says"
    if path.name in _VOCABULARIES:
        with path.open("rb") as file:
            is_other = file.read(2).startswith(_PICKLE_OR_ZIP)
        return f"{name!r} is no vocabulary" if is_other else None
    try:
        text = path.read_text(encoding="utf-8")
        stated = json.loads(text) if path.suffix == ".json" else None
    except (ValueError, RecursionError):
        return f"{name!r} does not hold what its name says"
    if "\0" in text:
        return f"{name!r} is no text"
    if path.suffix == ".json":
        return _problem_of_json(name, stated)
    if name in _ENVIRONMENTS:
        return _problem_of_requirements(name, text)
    return _problem_of_description(path) if name == _DESCRIPTION else None


def _has_header(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            return False
        (length,) = struct.unpack("<Q", start)
        return length <= min(_LONGEST_HEADER, path.stat().st_size - 8) and file.read(1) == b"{"


def _problem_of_json(name: str, stated: Any) -> str | None:
    file = PurePosixPath(name).name
    if file == "tokenizer.json":
        return None  # read by the tokenizers library alone, which loads nothing else
    if file in _WORDS_ALONE:
        is_vocabulary = isinstance(stated, dict) and all(map(is_number, stated.values()))
        return None if is_vocabulary else f"{name!r} does not hold what its name says"
    if file.endswith(".index.json"):
        shards = stated.get("weight_map") if isinstance(stated, dict) else None
        if not isinstance(shards, dict) or not all(
            isinstance(shard, str) and re.fullmatch(r"[\w.-]+\.safetensors", shard)
            for shard in shards.values()
        ):
            return f"{name!r} names weights that are not safetensors beside it"
        return None
    if problem := problem_of_settings(file, stated):
        return f"{name!r} {problem}"
    if file == _ADAPTER:
        return f"{name!r} belongs to an adapter, which loads another model; merge it first"
    return None


def _problem_of_description(path: Path) -> str | None:
    """Check the file by which stock MLflow loads the model, where a champion is served."""
    from mlflow.models import Model

    try:
        flavors = Model.load(str(path)).flavors
        stated = {key: dict(flavor) for key, flavor in flavors.items()}
    except Exception as error:
        return f"{path.name!r} cannot be read: {error}"
    for name, flavor in stated.items():
        # What MLflow leaves open is stated as null.
        known = _FLAVORS.get(name, ())
        unknown = [key for key, value in flavor.items() if value and key not in known]
        if unknown or flavor.get("loader_module") not in (None, "mlflow.sentence_transformers"):
            return f"{path.name!r} names code of its own, or what is not known: {unknown!r:.100}"
        if flavor.get("data") not in (None, "model.sentence_transformer"):
            return f"{path.name!r} names a folder of weights elsewhere: {flavor['data']!r:.100}"
    return None


def _problem_of_requirements(name: str, text: str) -> str | None:
    """Check a list of packages, which stock MLflow installs where a champion is served."""
    for line in filter(None, map(str.strip, text.splitlines())):
        if not _REQUIREMENT.fullmatch(line.removeprefix("- ")):
            return f"{name!r} asks for {line[:100]!r}, which a model of hooktune does not need"
    return None
