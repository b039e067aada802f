"""The mean of several models that were tuned from one, made file by file.

A mean of weights that were tuned from one model with several hyper-parameters is often better than
the best of them (Wortsman et al. 2022, "Model soups"). Models are folders here, as
sentence-transformers saves them: so all modules are averaged that a method may have added, and a
model's tensors are in memory one after the other.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from hooktune.errors import DifferentShapesError, HooktuneError

_FILES: Final = "files"
_SHAPE: Final = "shape.json"
_WEIGHTS: Final = ".safetensors"

_Shape = dict[str, str | dict[str, str]]
"""For each file of a model its tensors, with kinds and sizes; for one of settings its digest, or
none where it is the starting model's: that is saved with other words where it was just made."""


@dataclass(frozen=True)
class Part:
    """One of the models that a mean is made of."""

    folder: Path
    """What `write_changes` wrote."""
    count: int = 1
    """How many models it stands for, being their mean itself."""


def write_changes(start: Path, tuned: Path, to: Path) -> None:
    """Write into a folder what a tuned model holds that is not in the one that it was tuned from.

    Args:
        start: The model that it was tuned from.
        tuned: The tuned model.
        to: A folder, which is made.

    Raises:
        HooktuneError: A weight of the tuned model is no finite number.
    """
    shape: _Shape = {}
    for path in sorted(path for path in tuned.rglob("*") if path.is_file()):
        name = path.relative_to(tuned).as_posix()
        before, target = start / name, to / _FILES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == _WEIGHTS:
            shape[name] = _write_changed_tensors(before, path, target)
            continue
        content = path.read_bytes()
        shape[name] = ""
        if not before.is_file() or before.read_bytes() != content:
            shape[name] = hashlib.sha256(content).hexdigest()
            target.write_bytes(content)
    (to / _SHAPE).write_text(json.dumps(shape, sort_keys=True), encoding="utf-8")


def write_mean(start: Path, parts: Sequence[Part], to: Path) -> None:
    """Write a model into a folder whose weights are the mean of those of others.

    Args:
        start: The model that all of them were tuned from.
        parts: What they hold that it does not.
        to: A folder, which is made.

    Raises:
        DifferentShapesError: Their modules, settings or tensors differ.
    """
    shape = _common_shape(parts)
    for name, described in shape.items():
        sources = [part.folder / _FILES / name for part in parts]
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(described, str):
            shutil.copyfile(sources[0] if sources[0].is_file() else start / name, target)
        else:
            counts = [part.count for part in parts]
            _write_mean_tensors(start / name, sources, counts, [*described], target)


def _write_changed_tensors(before: Path, tuned: Path, to: Path) -> dict[str, str]:
    from safetensors.torch import save_file

    described, changed = {}, {}
    with ExitStack() as opened:
        new, old = (_opened(opened, path) for path in (tuned, before))
        for name in _names(new):
            tensor = new.get_tensor(name)
            described[name] = f"{tensor.dtype} {[*tensor.shape]}"
            if name in _names(old) and _is_same(tensor, old.get_tensor(name)):
                continue
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise HooktuneError(f"its weights {name!r} are no finite numbers")
            changed[name] = tensor
        if changed:
            save_file(changed, to)
    return described


def _write_mean_tensors(
    start: Path, sources: Sequence[Path], counts: Sequence[int], names: Sequence[str], to: Path
) -> None:
    from safetensors.torch import save_file

    with ExitStack() as opened:
        old = _opened(opened, start)
        files = [_opened(opened, path) for path in sources]

        def of(file: Any, name: str) -> torch.Tensor:
            tensor: torch.Tensor = (file if name in _names(file) else old).get_tensor(name)
            return tensor

        means = {
            name: _mean(name, [of(file, name) for file in files], counts)
            if any(name in _names(file) for file in files)
            else old.get_tensor(name)
            for name in names
        }
        save_file(means, to, metadata={"format": "pt"})


def _mean(name: str, tensors: Sequence[torch.Tensor], counts: Sequence[int]) -> torch.Tensor:
    first = tensors[0]
    if not first.is_floating_point():
        if not all(torch.equal(first, tensor) for tensor in tensors):
            raise DifferentShapesError(f"they differ in {name!r}, which has no mean")
        return first
    # Of two numbers of a model in double precision nothing is lost.
    total = torch.zeros_like(first, dtype=torch.float64)
    for tensor, count in zip(tensors, counts, strict=True):
        total += tensor.double() * count
    return (total / sum(counts)).to(first.dtype)


def _common_shape(parts: Sequence[Part]) -> _Shape:
    shapes: list[_Shape] = [
        json.loads((part.folder / _SHAPE).read_text(encoding="utf-8")) for part in parts
    ]
    for other in shapes[1:]:
        for name in sorted({*shapes[0], *other}):
            if shapes[0].get(name) != other.get(name):
                raise DifferentShapesError(f"they differ in {name}")
    return shapes[0]


def _opened(stack: ExitStack, path: Path) -> Any:
    """Open a file of weights, or return None where there is none."""
    from safetensors import safe_open

    return stack.enter_context(safe_open(path, "pt")) if path.is_file() else None


def _names(file: Any) -> frozenset[str]:
    return frozenset() if file is None else frozenset(file.keys())


def _is_same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)
