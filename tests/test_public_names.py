"""What hooktune makes public: whoever uses it can name all that its signatures speak of."""

import ast
import builtins
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hooktune
import hooktune.testing

PUBLIC = {
    **{name: getattr(hooktune, name) for name in hooktune.__all__},
    **{name: getattr(hooktune.testing, name) for name in hooktune.testing.__all__},
}
DEFINED = {
    name: thing
    for name, thing in PUBLIC.items()
    if (inspect.isclass(thing) or inspect.isroutine(thing))
    and thing.__module__.startswith("hooktune")
}


def annotations(node: ast.stmt) -> Iterator[ast.expr]:
    """The annotations of a function, or of a class's public fields and methods."""
    if isinstance(node, ast.FunctionDef):
        given = node.args
        for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.kwarg):
            if argument is not None and argument.annotation is not None:
                yield argument.annotation
        if node.returns is not None:
            yield node.returns
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        if not node.target.id.startswith("_"):
            yield node.annotation
    elif isinstance(node, ast.ClassDef):
        for part in node.body:
            is_hidden = isinstance(part, ast.FunctionDef) and part.name.startswith("_")
            if not is_hidden or part.name == "__init__":
                yield from annotations(part)


def named_types(annotation: ast.expr) -> Iterator[str]:
    """The names of the types in an annotation, those within quotes too."""
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        if annotation.value.id == "Literal":
            return
        if annotation.value.id == "Annotated":
            annotation = annotation.slice.elts[0]  # type: ignore[attr-defined]
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        yield from named_types(ast.parse(annotation.value, mode="eval").body)
    elif isinstance(annotation, ast.Name):
        yield annotation.id
    else:
        for part in ast.iter_child_nodes(annotation):
            if isinstance(part, ast.expr):
                yield from named_types(part)


@pytest.mark.parametrize("name", DEFINED)
def test_the_types_of_public_signatures_are_public(name: str):
    tree = ast.parse(Path(sys.modules[DEFINED[name].__module__].__file__).read_text("utf-8"))
    (node,) = (part for part in tree.body if getattr(part, "name", None) == name)
    imports = [part for part in ast.walk(tree) if isinstance(part, ast.ImportFrom | ast.Import)]
    foreign = {
        alias.asname or alias.name
        for part in imports
        if not (getattr(part, "module", None) or "").startswith("hooktune")
        for alias in part.names
    }
    spoken_of = {found for given in annotations(node) for found in named_types(given)}
    assert spoken_of - PUBLIC.keys() - foreign - vars(builtins).keys() == set()


@pytest.mark.parametrize("package", [hooktune, hooktune.testing])
def test_every_public_name_is_there_and_has_a_docstring(package):
    for name in package.__all__:
        assert name in dir(package)
        thing = getattr(package, name)
        if name in DEFINED:
            assert inspect.getdoc(thing), name


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'Runer'"):
        _ = hooktune.Runer
