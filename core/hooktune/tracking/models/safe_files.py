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

_SAFETENSORS: Final = ".safetensors"
_TEXTS: Final = (".txt", ".md", ".yaml", ".jinja")
_DESCRIPTION: Final = "MLmodel"
_VOCABULARIES: Final = ("sentencepiece.bpe.model", "spiece.model", "tokenizer.model")
_PICKLE_OR_ZIP: Final = (b"\x80", b"PK")
_LONGEST_HEADER: Final = 100_000_000  # safetensors' own limit

_WORDS_ALONE: Final = ("tokenizer.json", "vocab.json", "added_tokens.json")
"""JSON files whose keys are words of a vocabulary, and say nothing of how to load it."""

_NEVER_SET: Final = frozenset(
    {
        "auto_map", "base_model_name_or_path", "code_revision", "custom_pipelines", "gguf_file",
        "subfolder", "tokenizer_name_or_path", "trust_remote_code", "use_kernels",
    }
)  # fmt: skip
_NEVER_FALSE: Final = frozenset({"use_safetensors", "weights_only"})
_MODULE: Final = re.compile(r"sentence_transformers(\.\w+)*\.(models|modules)(\.\w+)*\.[A-Z]\w*")


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
    if file in _WORDS_ALONE:
        return None
    modules: list[tuple[Any, Any]] = []
    try:
        if file == "modules.json":
            modules = [(each["path"], each["type"]) for each in stated]
        elif isinstance(stated, dict) and "types" in stated and "structure" in stated:
            modules = list(stated["types"].items())
        elif file.endswith(".index.json"):
            shards = set(stated["weight_map"].values())
            if not all(re.fullmatch(r"[\w.-]+\.safetensors", shard) for shard in shards):
                return f"{name!r} names weights that are not safetensors beside it"
    except (AttributeError, KeyError, TypeError):
        return f"{name!r} does not hold what its name says"
    for path, kind in modules:
        if problem := problem_of_path(str(path)):
            return f"in {name!r} {problem}"
        if not _MODULE.fullmatch(str(kind)):
            return f"{name!r} names the module {str(kind)[:100]!r}, which is not one of " + (
                "sentence-transformers' own"
            )
    for key, value in _pairs(stated):
        elsewhere = key.endswith("_implementation") and isinstance(value, str) and "/" in value
        loads = key in _NEVER_SET and bool(value) and not _is_number(value)
        if elsewhere or loads or (key in _NEVER_FALSE and value is False):
            return f"{name!r} sets {key!r}, which makes code or files from elsewhere be loaded"
    return None


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        if isinstance(each, dict | list):
            yield from _pairs(each)


def _is_number(value: Any) -> bool:
    # In a file of weights by word any word may be a key.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _problem_of_description(path: Path) -> str | None:
    """Check the file by which stock MLflow loads the model, where a champion is served."""
    from mlflow.models import Model

    try:
        flavors = Model.load(str(path)).flavors
        loader = flavors.get("python_function", {}).get("loader_module")
        code = [flavor.get("code") for flavor in flavors.values()]
    except Exception as error:
        return f"{path.name!r} cannot be read: {error}"
    if loader not in (None, "mlflow.sentence_transformers") or any(code):
        return f"{path.name!r} names code of its own"
    return None
