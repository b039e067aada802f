"""Whether the weights of a model are those that its settings describe, and numbers all of them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hooktune.errors import HooktuneError

if TYPE_CHECKING:
    import torch

_NEVER_MISSED: Final = re.compile(r"(.*\.)?position_ids")
"""Weights that older versions of transformers stored, and that are computed now."""


def problem_of_weights(folder: Path) -> str | None:
    """Say which weights are no finite numbers, or cannot be read, or return None."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.rglob("*.safetensors")):
        name = path.relative_to(folder).as_posix()
        try:
            with safe_open(path, framework="pt") as weights:
                for key in weights.keys():  # noqa: SIM118 - it is no mapping
                    if not _is_finite(weights.get_tensor(key)):
                        return f"{name!r} holds weights that are no finite numbers, in {key!r}"
        except (SafetensorError, OSError, ValueError) as error:
            return f"{name!r} cannot be read: {error}"
    return None


def _is_finite(tensor: "torch.Tensor") -> bool:
    # The sum is finite where all are, save for an overflow, after which one looks more closely.
    if not tensor.is_floating_point() or tensor.element_size() == 1:
        return True
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


@contextmanager
def refusing_other_weights(owner: str) -> Iterator[None]:
    """Refuse a model, loaded meanwhile, whose weights are not those that its settings describe.

    transformers would fill in what is missing with random numbers, and leave out what is too much,
    with nothing but a line in its log.

    Raises:
        HooktuneError: Weights are missing, are too much or have another shape.
    """
    from transformers import PreTrainedModel

    # sentence-transformers hands on no wish for the report that this would return.
    found = PreTrainedModel.__dict__["from_pretrained"]
    load = found.__func__

    def load_checked(cls: type, *args: Any, **options: Any) -> Any:
        model, report = load(cls, *args, **{**options, "output_loading_info": True})
        if problem := _problem_of_report(report):
            raise HooktuneError(
                f"The weights of the model of {owner} are not those that its config.json "
                f"describes: {problem}. It was changed by something else than hooktune; restore it "
                "from a backup, or start from another run by --from."
            )
        return (model, report) if options.get("output_loading_info") else model

    setattr(PreTrainedModel, "from_pretrained", classmethod(load_checked))  # noqa: B010 - a method
    try:
        yield
    finally:
        setattr(PreTrainedModel, "from_pretrained", found)  # noqa: B010 - a method


def _problem_of_report(report: Mapping[str, Iterable[Any]]) -> str | None:
    missing = [str(key) for key in report["missing_keys"]]
    unexpected = [key for key in report["unexpected_keys"] if not _NEVER_MISSED.fullmatch(str(key))]
    problems = {
        "are missing": missing,
        "are too much": unexpected,
        "have another shape": report["mismatched_keys"],
    }
    told = [
        f"{len(list(keys))} {what} ({', '.join(sorted(map(str, keys))[:3])})"
        for what, keys in problems.items()
        if keys
    ]
    return " and ".join(told) or None
