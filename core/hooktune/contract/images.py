"""Images among the texts of a batch: each is written as the data URI of its file (RFC 2397).

So whatever holds, compares or counts texts does so with images, a batch holds all that it is
about, and sentence-transformers takes an image as it is written here.
"""

import base64
import hashlib
import io
import re
import warnings
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from hooktune.contract.sessions import Mask
from hooktune.errors import DataError, within_sentence

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES: Final = 10_000_000
"""How large the file of an image is at most; models look at 224 to 400 pixels a side."""

_KINDS: Final = ("png", "jpeg", "gif", "webp", "bmp")
_START: Final = rf"^data:image/(?:{'|'.join(_KINDS)});base64,"
_IS_IMAGE: Final = re.compile(_START)
# A few bytes can stand for pixels that fill all memory; and what is made as wide as a model wants
# it gets as much longer as it is longer than wide.
_MOST_PIXELS: Final = 50_000_000
_MOST_TIMES_LONGER: Final = 20


def is_image(text: str) -> bool:
    """Tell whether a query, or the text of an item, is an image."""
    return _IS_IMAGE.match(text) is not None


def are_images(texts: pa.LargeStringArray) -> Mask:
    """Tell of each text whether it is an image."""
    return matches(texts, _START)


def matches(texts: pa.LargeStringArray, pattern: str) -> Mask:
    """Tell of each text whether a pattern is found in it; in a null none is."""
    found = pc.match_substring_regex(texts, pattern).fill_null(False)
    mask: Mask = found.to_numpy(zero_copy_only=False)
    return mask


def image_text(content: bytes) -> str:
    """Return what stands for an image as a query, or as the text of an item.

    Args:
        content: The file: PNG, JPEG, GIF, WebP or BMP.

    Raises:
        DataError: It is none of these, is not whole, or is too large.
    """
    kind = (_decoded(content).format or "").lower()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def image_file(text: str) -> bytes:
    """Return the file of an image.

    Raises:
        DataError: It is not written as a data URI is.
    """
    start = _IS_IMAGE.match(text)
    try:
        return base64.b64decode(text[start.end() if start else 0 :], validate=True)
    except ValueError as error:
        raise DataError(f"The data URI of an image is not in base64: {error}.") from None


def load_image(text: str) -> "Image":
    """Return an image as its pixels in red, green and blue, upright.

    Args:
        text: A query or the text of an item, of which `is_image` tells that it is an image.

    Raises:
        DataError: It cannot be decoded.
    """
    from PIL import ImageOps

    return ImageOps.exif_transpose(_decoded(image_file(text))).convert("RGB")


def in_words(text: str) -> str:
    """Return a text, or in the place of an image a few words that tell it from others."""
    if not is_image(text):
        return text
    content = image_file(text)
    digest = hashlib.sha256(content).hexdigest()[:12]
    return f"[image {digest}, {len(content):,} bytes]"


def _decoded(content: bytes) -> "Image":
    from PIL import Image

    if len(content) > MOST_BYTES:
        raise DataError(
            f"The image has {len(content):,} bytes, and at most {MOST_BYTES:,} are taken. "
            "Scale it down: models look at some hundred pixels a side."
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # that it has many pixels, told below
            image = Image.open(io.BytesIO(content), formats=[kind.upper() for kind in _KINDS])
    except Image.DecompressionBombError as error:
        raise DataError(f"The image has too many pixels: {within_sentence(str(error))}.") from None
    except Exception:  # whatever a decoder makes of it
        raise DataError(
            "It is no image that can be read: PNG, JPEG, GIF, WebP and BMP can."
        ) from None
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise DataError(
            f"The image has {width} x {height} pixels, and at most {_MOST_PIXELS:,} are taken. "
            "Scale it down: models look at some hundred pixels a side."
        )
    if max(width, height) > _MOST_TIMES_LONGER * min(width, height):
        raise DataError(
            f"The image has {width} x {height} pixels, and one side may be "
            f"{_MOST_TIMES_LONGER} times as long as the other at most. Cut it."
        )
    try:
        image.load()
    except Exception as error:  # whatever a decoder makes of it
        raise DataError(f"The image is not whole: {within_sentence(str(error))}.") from None
    return image
