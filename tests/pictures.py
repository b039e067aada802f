"""Generated pictures, and clicks on those that a query asks for."""

import io
from typing import Any

from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "yellow", "purple", "black")
SHAPES = ("circle", "square", "triangle")


def picture(colour: str, shape: str, place: int = 0, size: int = 32, kind: str = "PNG") -> bytes:
    """The file of a picture of a coloured shape, which `place` moves a little."""
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    left, top = 3 + place % 4, 3 + place // 4 % 4
    box = (left, top, left + size // 2 + 4, top + size // 2 + 4)
    if shape == "circle":
        draw.ellipse(box, fill=colour)
    elif shape == "square":
        draw.rectangle(box, fill=colour)
    else:
        draw.polygon([(box[0], box[3]), (box[2], box[3]), ((box[0] + box[2]) / 2, box[1])], colour)
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def session(number: int, query: str, shown: list[str], clicked: list[str]) -> dict[str, Any]:
    """A session as Embedding Studio writes it."""
    return {
        "session_id": f"s{number:04}",
        "search_query": query,
        "search_results": [{"object_id": name} for name in shown],
        "events": [{"object_id": name} for name in clicked],
    }
