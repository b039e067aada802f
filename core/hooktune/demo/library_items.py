"""The documented public names of this machine's Python standard library, as items to search.

Sources are read and never run, so that no module can print, warn or open anything. Only what has no
source is imported: `builtins` and a few C modules whose import does nothing.
"""

import ast
import importlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_C_MODULES: Final = (
    "array", "builtins", "cmath", "errno", "fcntl", "gc", "itertools", "marshal", "math", "mmap",
    "resource", "select", "sys", "time", "unicodedata", "zlib",
)  # fmt: skip
_PUBLIC_NAME: Final = {
    "_collections_abc": "collections.abc",
    "_pydatetime": "datetime",
    "_pydecimal": "decimal",
    "_pyio": "io",
    "genericpath": "os.path",
    "pathlib._local": "pathlib",
    "posixpath": "os.path",
}
"""Modules that hold what another module is known for, with the name of that module."""
_NOT_OF_INTEREST: Final = frozenset(
    {
        "antigravity",
        "distutils",
        "encodings",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "ntpath",
        "pydoc_data",
        "test",
        "tests",
        "this",
        "turtledemo",
    }
)
_LONGEST_SIGNATURE: Final = 60
_QUERY_WORDS: Final = range(4, 21)
_WITHOUT_QUOTES: Final = str.maketrans(dict.fromkeys("`*\"'"))


@dataclass(frozen=True)
class LibraryItem:
    """A public function or class of the standard library."""

    name: str
    """The qualified name, such as `textwrap.dedent`."""
    signature: str
    """The parameters in parentheses; a long list is cut and ends with `...)`."""
    doc: str
    """The docstring, without indentation."""

    @property
    def text(self) -> str:
        """What a search engine knows of the item: `textwrap.dedent(text)`."""
        return self.name + self.signature

    @property
    def library(self) -> str:
        """The top-level module or package: `email` for `email.message.Message`."""
        return self.name.partition(".")[0]

    @property
    def query(self) -> str | None:
        """What somebody might type who needs this item, or None where the docstring gives nothing.

        It is the first sentence of the docstring without the item's own name.
        """
        sentence = _first_sentence(self.doc)
        own_name = re.escape(self.name.rpartition(".")[2])
        sentence = re.sub(rf"(\w+\.)*\b{own_name}\b(\([^)]*\))?", " ", sentence, flags=re.I)
        words = sentence.strip(" .:;,-").split()
        if len(words) not in _QUERY_WORDS or re.search(r"[<>=|@]|->|\(\)", sentence):
            return None
        return " ".join([words[0].lower(), *words[1:]])


def standard_library_items() -> list[LibraryItem]:
    """List the documented public functions and classes of the standard library, each once.

    An item stands under the module that defines it, and not under those that import it from there.
    Which items there are depends on the machine and its version of Python.

    Returns:
        The items by name.
    """
    found: dict[str, LibraryItem] = {}
    for module, path in _sources():
        for item in _read_source(module, path):
            found.setdefault(item.name, item)
    for module in _C_MODULES:
        for item in _read_c_module(module):
            found.setdefault(item.name, item)
    return [found[name] for name in sorted(found)]


def _sources() -> Iterator[tuple[str, Path]]:
    """Yield the public name and the file of each public module that is written in Python."""
    root = Path(sysconfig.get_path("stdlib"))
    for top in sorted(sys.stdlib_module_names - _NOT_OF_INTEREST):
        file = root / f"{top}.py"
        for path in [file] if file.is_file() else sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            module = ".".join(parts)
            if module in _PUBLIC_NAME:
                yield _PUBLIC_NAME[module], path
            elif not any(part.startswith("_") or part in _NOT_OF_INTEREST for part in parts):
                yield module, path


def _read_source(module: str, path: Path) -> Iterator[LibraryItem]:
    tree = ast.parse(path.read_bytes())
    for node in _definitions(tree.body):
        doc = ast.get_docstring(node)
        if doc and not node.name.startswith("_"):
            yield LibraryItem(f"{module}.{node.name}", _cut(_signature(node)), doc)


_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _definitions(body: Iterable[ast.stmt]) -> Iterator[_Definition]:
    """Yield what a module defines at its top level, also under a condition."""
    for node in body:
        if isinstance(node, _Definition):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            yield from _definitions([*node.body, *node.orelse])


def _signature(node: _Definition) -> str:
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                return _parameters(part.args, skip_self=True)
        return "()"
    return _parameters(node.args)


def _parameters(arguments: ast.arguments, *, skip_self: bool = False) -> str:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for argument in (*every, arguments.vararg, arguments.kwarg):
        if argument is not None:
            argument.annotation = None
    positional = arguments.posonlyargs or arguments.args
    if skip_self and positional:
        del positional[0]
    return f"({ast.unparse(arguments)})"


def _read_c_module(module: str) -> Iterator[LibraryItem]:
    try:
        namespace = vars(importlib.import_module(module))
    except ImportError:  # this machine has none, as Windows has no `fcntl`
        return
    for name, value in sorted(namespace.items()):
        is_exception = inspect.isclass(value) and issubclass(value, BaseException)
        public = not name.startswith("_") and getattr(value, "__name__", None) == name
        home = getattr(value, "__module__", None) in (module, None)
        doc = inspect.getdoc(value)
        if doc and public and home and not is_exception and callable(value):
            try:
                signature = str(inspect.signature(value))
            except (TypeError, ValueError):  # many C functions do not tell
                signature = "(...)"
            yield LibraryItem(f"{module}.{name}", _cut(signature), doc)


def _cut(signature: str) -> str:
    if len(signature) <= _LONGEST_SIGNATURE:
        return signature
    return signature[:_LONGEST_SIGNATURE].rpartition(",")[0] + ", ...)"


def _first_sentence(doc: str) -> str:
    paragraph = " ".join(doc.strip().partition("\n\n")[0].split())
    return re.split(r"(?<=[\w)][\w)][.:;])\s", paragraph, maxsplit=1)[0].translate(_WITHOUT_QUOTES)
