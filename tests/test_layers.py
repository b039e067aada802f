"""Imports inside the host go one way: from the top layer down."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hooktune

LAYERS = (
    ("errors", "markers", "plain_text", "sessions"),
    ("batch", "checkpoint", "hookspecs", "metrics", "naming", "randomness", "settings", "progress"),
    (
        "batch_tables",
        "catalogue",
        "encoding",
        "formats",
        "layer_cache",
        "listing",
        "log_blocks",
        "log_columns",
        "optimizer",
        "precision",
        "ranks",
        "release",
        "sampling",
        "scoring",
        "search",
        "tokens",
        "training",
        "training_params",
        "training_state",
        "word_table",
    ),
    ("contract", "host", "observers", "plugin_check", "plugin_file", "tracker"),
    (
        "active_run",
        "comparison",
        "demo_data",
        "demo_log",
        "figures",
        "following",
        "iteration_work",
        "lockstep",
        "measure",
        "one_run",
        "planning",
        "promotion",
        "report",
        "runner",
        "scaffold",
        "starting",
        "sharing",
        "testing",
    ),
    ("cli", "demo", "pytest_plugin", "terminal", "__main__"),
)
LAYER_OF = {module: number for number, modules in enumerate(LAYERS) for module in modules}
SOURCES = Path(hooktune.__file__).parent


def module_of(path: Path) -> str:
    return path.relative_to(SOURCES).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    """The modules of the host that a file imports when it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "hooktune":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hooktune."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("hooktune.")}
    return (names & LAYER_OF.keys()) - {module_of(path)}


FILES = sorted(path for path in SOURCES.rglob("*.py") if "templates" not in path.parts)
INNER = [path for path in FILES if module_of(path) != "__init__"]


@pytest.mark.parametrize("path", INNER, ids=lambda path: str(path.relative_to(SOURCES)))
def test_a_module_imports_only_its_own_layer_and_those_below(path: Path):
    own = LAYER_OF[module_of(path)]
    above = {name for name in imported_modules(path) if LAYER_OF[name] > own}
    assert not above


def test_there_is_no_circle():
    graph: dict[str, set[str]] = {}
    for path in INNER:
        graph.setdefault(module_of(path), set()).update(imported_modules(path))
    TopologicalSorter(graph).prepare()


def test_only_the_tracker_imports_mlflow():
    importing = {
        module_of(path)
        for path in INNER
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mlflow")
        or (isinstance(node, ast.Import) and any(a.name.startswith("mlflow") for a in node.names))
    }
    assert importing == {"tracker"}


@pytest.mark.parametrize("plugin", ["hooktune_default", "hooktune_metrics"])
def test_the_bundled_plugins_import_only_what_hooktune_makes_public(plugin: str):
    folder = Path(__import__(plugin).__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                module = node.module or ""
                assert not module.startswith("hooktune."), f"{path.name} imports {module}"
                if module == "hooktune":
                    assert {alias.name for alias in node.names} <= set(hooktune.__all__)
