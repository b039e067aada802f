"""A package to start a plugin from: it installs, passes its tests and runs as it is written."""

import json
import re
import shlex
import unicodedata
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from hooktune._version import __version__
from hooktune.errors import RequestError
from hooktune.naming import check_method_name
from hooktune.plugin.catalogue import read_catalogue

PREFIX: Final = "hooktune_"
"""What the package's module begins with, so that it hides no module of another kind."""

_RESERVED: Final = ("hooktune_default", "hooktune_metrics")
_FILES: Final = {
    "pyproject.toml": "pyproject.toml.template",
    "README.md": "README.md.template",
    "{module}.py": "module.py.template",
    "tests/test_{module}.py": "tests/test_module.py.template",
}
# An installer writes an entry point as a line `name = target` of an INI file.
_NO_ENTRY_POINT: Final = re.compile(r"[=\[\]]|^[#;]")


def write_package(name: str, to: Path) -> Path:
    """Write a package with a method into a new folder.

    Args:
        name: The method's display name.
        to: Where to make the folder; it is made itself if need be.

    Returns:
        The new folder, which is called like the distribution.

    Raises:
        RequestError: The name cannot be used, or the folder is there already.
    """
    module = module_name(name)
    distribution = module.replace("_", "-")
    folder = to / distribution
    if folder.exists() or folder.is_symlink():
        raise RequestError(
            f"{folder} exists already, and is left as it is. Choose another name or another "
            "folder: --to DIR."
        )
    values = {
        "name": name,
        "toml_name": json.dumps(name, ensure_ascii=False),
        "shell_name": shlex.quote(name),
        "module": module,
        "distribution": distribution,
        "version": ".".join(__version__.split(".")[:2]),
    }
    templates = files("hooktune.plugin") / "templates"
    texts = {
        file.format(module=module): Template(
            (templates / template).read_text(encoding="utf-8")
        ).substitute(values)
        for file, template in _FILES.items()
    }
    try:
        for file, text in texts.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RequestError(
            f"{folder} cannot be written: {error.strerror}. Name another place by --to."
        ) from error
    return folder


def module_name(name: str) -> str:
    """Return the module that a new method of this display name is written into.

    It is `hooktune_` and the name's ASCII letters and digits in lower case, accents left out, each
    gap an underscore: `2nd Übung!` gives `hooktune_2nd_ubung`.

    Raises:
        RequestError: The name cannot be a method's, is taken, or leaves nothing of a module's name.
    """
    check_method_name(name)
    if _NO_ENTRY_POINT.search(name):
        raise RequestError(
            f"{name!r} cannot be an entry point's name: it has '=' or a square bracket, or begins "
            "with '#' or ';'. Choose another one."
        )
    for entry in read_catalogue().entries:
        if (entry.kind, entry.name) == ("method", name):
            raise RequestError(f"{entry.label} has this name already. Choose another one.")
    ascii_only = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", ascii_only)
    if words[:1] == ["hooktune"]:
        words = words[1:]
    module = PREFIX + "_".join(words)
    if not words or module in _RESERVED:
        raise RequestError(
            f"No package can be called after {name!r}: "
            + (f"{module} is a part of hooktune." if words else "it has no ASCII letter or digit.")
            + " Choose another name; the display name can be changed in pyproject.toml afterwards."
        )
    return module
