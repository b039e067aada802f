"""Images as a model reads them, each decoded once while memory lasts."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import torch

from hooktune.contract.images import are_images, is_image, load_image
from hooktune.contract.sessions import Ints
from hooktune.errors import RequestError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MEMORY_BUDGET: Final = 1024**3
"""How many bytes of decoded images a column keeps; further ones are decoded at each use."""

_USUAL_TOKENS: Final = 257  # 224 pixels a side in patches of 14


def check_reads_images(model: "SentenceTransformer", *columns: pa.LargeStringArray) -> None:
    """Refuse images that a model cannot encode.

    Raises:
        RequestError: One of the columns holds some, and the model reads texts alone.
    """
    count = sum(int(are_images(texts).sum()) for texts in columns)
    if count and not model.supports("image"):
        kinds = ", ".join(map(str, model.modalities))
        raise RequestError(
            f"{count} queries or items of the batch are images, and the model reads {kinds} alone. "
            "Start from one that reads images, such as sentence-transformers/clip-ViT-B-32."
        )


def as_inputs(model: "SentenceTransformer", texts: list[str]) -> list[Any]:
    """Return texts, or images, as a model's `preprocess` takes them.

    A model of several kinds of input would take a text for the image, or the film, whose path or
    address it looks like, and fetch that: so a text is marked as one.
    """
    if model.modalities == ["text"]:
        return texts
    return [load_image(text) if is_image(text) else {"text": text} for text in texts]


def image_tokens(model: "SentenceTransformer") -> int:
    """Return how many tokens an image is to a model, about."""
    config = getattr(getattr(model[0], "model", None), "config", None)
    vision = getattr(config, "vision_config", None)
    side, patch = (getattr(vision, name, None) for name in ("image_size", "patch_size"))
    is_known = isinstance(side, int) and isinstance(patch, int)
    return (side // patch) ** 2 + 1 if is_known else _USUAL_TOKENS  # type: ignore[operator]


def image_settings(model: "SentenceTransformer") -> dict[str, Any] | None:
    """Return how a model's processor prepares images; None where it has none for them."""
    processor = getattr(getattr(model[0], "processor", None), "image_processor", None)
    return None if processor is None else processor.to_dict()


class ImageInputs:
    """Keeps what models with the same processor are given of a column's images."""

    def __init__(self) -> None:
        self._known: dict[int, dict[str, torch.Tensor]] = {}
        self._constants: dict[str, Any] = {}
        self._bytes_left = MEMORY_BUDGET

    def features(self, rows: Ints, read: Callable[[Ints], dict[str, Any]]) -> dict[str, Any]:
        """Return some images as a model takes them, on the CPU.

        Args:
            rows: The images.
            read: Reads those that are not known.
        """
        missing = rows[[row not in self._known for row in rows.tolist()]]
        made: dict[int, dict[str, torch.Tensor]] = {}
        if len(missing):
            features = read(missing)
            if not _are_rows(features, len(missing)):
                return features if len(missing) == len(rows) else read(rows)
            made = self._apart(missing, features)
        parts = [made.get(row) or self._known[row] for row in rows.tolist()]
        if len({tuple(value.shape for value in part.values()) for part in parts}) > 1:
            return read(rows)  # what its processor makes of an image depends on the others
        stacked = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
        return self._constants | stacked

    def _apart(self, rows: Ints, features: dict[str, Any]) -> dict[int, dict[str, torch.Tensor]]:
        tensors = {name: value for name, value in features.items() if torch.is_tensor(value)}
        self._constants = {name: features[name] for name in features.keys() - tensors.keys()}
        made = {
            row: {name: value[place] for name, value in tensors.items()}
            for place, row in enumerate(rows.tolist())
        }
        size = sum(value[0].numel() * value.element_size() for value in tensors.values())
        for row, part in made.items():
            if size <= self._bytes_left:
                self._known[row] = {name: value.clone() for name, value in part.items()}
                self._bytes_left -= size
        return made


def _are_rows(features: dict[str, Any], count: int) -> bool:
    """Tell whether each image has a row of its own in all tensors."""
    tensors = [value for value in features.values() if torch.is_tensor(value)]
    return bool(tensors) and all(value.ndim and len(value) == count for value in tensors)
