"""The house: which room of the host may import which, and that no two files stand in a circle."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

import hooktune
import hooktune.testing

# Each room with the rooms that it may import, beside the leaves and itself.
ROOMS = {
    "contract": (),
    "data": ("contract",),
    "plugin": ("contract",),
    "training": ("contract",),
    "tracking": ("contract",),
    "evaluation": ("contract", "data", "plugin", "training", "tracking"),
    "iteration": ("contract", "data", "plugin", "training", "tracking", "evaluation"),
    "testing": ("contract", "data", "plugin", "training", "tracking", "evaluation", "iteration"),
    "demo": ("contract", "data", "plugin", "training", "tracking", "evaluation", "iteration"),
    "cli": (
        "contract", "data", "plugin", "training", "tracking", "evaluation", "iteration", "testing",
        "demo",
    ),
}  # fmt: skip
LEAVES = ("_lazy", "_version", "errors", "naming", "parts", "plain_text", "processes", "progress")
ENTRANCES = ("__init__", "__main__")
SOURCES = Path(hooktune.__file__).parent
FILES = {
    path.relative_to(SOURCES).with_suffix("").as_posix().replace("/", "."): path
    for path in sorted(SOURCES.rglob("*.py"))
    if "templates" not in path.parts
}


def room_of(module: str) -> str:
    return module.split(".")[0]


def file_of(dotted: str) -> str | None:
    """The module of the host that an imported name is, or is in; None for a package's own name."""
    module = dotted.removeprefix("hooktune").lstrip(".")
    while module and module not in FILES:
        if f"{module}.__init__" in FILES:
            return f"{module}.__init__"
        module = module.rpartition(".")[0]
    return module or None


def imported_files(module: str) -> set[str]:
    """The modules of the host that a file imports: at once, lazily, or for its types alone."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and room_of(node.module or "") == "hooktune":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names if room_of(a.name) == "hooktune"]
        for name in names:
            found.add(file_of(name) or "__init__")
    return found - {module}


IMPORTS = {module: imported_files(module) for module in FILES}


def test_the_rooms_are_those_of_the_design():
    folders = {path.name for path in SOURCES.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ROOMS)
    modules = {path.stem for path in SOURCES.glob("*.py")}
    assert modules == {*LEAVES, *ENTRANCES}
    assert len(modules) <= 10


@pytest.mark.parametrize("module", [module for module in FILES if module not in ENTRANCES])
def test_a_file_imports_only_its_own_room_and_those_below(module: str):
    room = room_of(module)
    allowed = {"errors"} if room in LEAVES else {room, *LEAVES, *ROOMS[room]}
    assert {each for each in IMPORTS[module] if room_of(each) not in allowed} == set()


def test_no_two_files_stand_in_a_circle():
    inner = {module: IMPORTS[module] - {"__init__"} for module in FILES if module != "__init__"}
    TopologicalSorter(inner).prepare()


def test_files_are_short():
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in FILES.values()]
    assert max(lengths) <= 330
    assert median(lengths) <= 130


def importing(package: str) -> set[str]:
    """The rooms and leaves in which a package is imported, lazily too."""
    return {
        room_of(module)
        for module, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and room_of(node.module or "") == package)
        or (isinstance(node, ast.Import) and any(room_of(a.name) == package for a in node.names))
    }


def test_only_the_tracking_room_imports_mlflow():
    assert importing("mlflow") == {"tracking"}


REPOSITORY = Path(__file__).parent.parent
PUBLIC = {"hooktune": hooktune.__all__, "hooktune.testing": hooktune.testing.__all__}
BY_PLUGIN_AUTHORS = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
    for pattern in ("plugins/*/*.py", "examples/*/*.py", "examples/*/tests/*.py")
    for path in sorted(REPOSITORY.glob(pattern))
}
IN_PAGES = {
    f"{path.relative_to(REPOSITORY)} {number}": block
    for path in (REPOSITORY / "README.md", *sorted(REPOSITORY.glob("docs/**/*.md")))
    for number, block in enumerate(
        re.findall(r"^```python[^\n]*\n(.*?)^```$", path.read_text("utf-8"), re.M | re.S), start=1
    )
}


@pytest.mark.parametrize("place", [*BY_PLUGIN_AUTHORS, *IN_PAGES])
def test_plugins_examples_and_pages_import_only_what_hooktune_makes_public(place: str):
    inner = []
    for node in ast.walk(ast.parse({**BY_PLUGIN_AUTHORS, **IN_PAGES}[place])):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            inner += [name for name in names if name.startswith("hooktune.") and name not in PUBLIC]
        elif isinstance(node, ast.ImportFrom) and room_of(node.module or "") == "hooktune":
            public = PUBLIC.get(node.module or "", ())
            inner += [f"{node.module}.{a.name}" for a in node.names if a.name not in public]
    assert inner == []
