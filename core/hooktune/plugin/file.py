"""A plugin in a single file, which is neither installed nor found on the path."""

import hashlib
import re
import sys
import traceback
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType
from typing import Final

from hooktune.errors import PluginRequestError
from hooktune.plugin.catalogue import PluginKind
from hooktune.plugin.checks import Plugin, given_plugin

SUFFIX: Final = ".py"


def plugin_from_file(path: str | Path, kind: PluginKind | None = None) -> Plugin:
    """Load a plugin from a Python file, which is read anew each time.

    It is named by the text `NAME` in the file, or else after the file: `my_method.py` gives
    `My Method`. A digest of the file stands for its version.

    Args:
        path: The file.
        kind: What it is to be; None to take what has `fit_batch` for a method, and anything else
            for an extension.

    Raises:
        PluginRequestError: There is no such file, or it cannot be imported, whatever it raised.
    """
    path = Path(path)
    content = read_plugin_file(path)
    # Told apart by their paths, since two files may have one name.
    unique = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"hooktune_file_{unique}"
    spec = spec_from_file_location(name, path, loader=_FreshLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    # Where pydantic and dataclasses look for the types that annotations name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        del sys.modules[name]
        raise PluginRequestError(
            f"The plugin {_place(path, error)} cannot be imported: {type(error).__name__}: {error}."
        ) from error
    plugin = given_plugin(module, _readable(path.stem))
    digest = f"sha256:{hashlib.sha256(content).hexdigest()[:12]}"
    return Plugin(plugin.name, kind or plugin.kind, module, str(path), digest, from_file=True)


def read_plugin_file(path: Path) -> bytes:
    """Return what a plugin's file holds, and import nothing.

    Raises:
        PluginRequestError: There is no such file.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PluginRequestError(f"The plugin {path} cannot be read: {error.strerror}.") from error


class _FreshLoader(SourceFileLoader):
    """Compiles the file itself: the cache might be stale, and would be written beside the file."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _readable(stem: str) -> str:
    words = re.split(r"[\W_]+", stem)
    return " ".join(word[0].upper() + word[1:] for word in words if word) or stem


def _place(path: Path, error: BaseException) -> str:
    """Return the file, and the line of it in which the error arose."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    return f"{path}, line {lines[-1]}," if lines else str(path)
