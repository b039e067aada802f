"""Generated pictures, and clicks on those that a query asks for."""

import io
import tempfile
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw

from hooktune.tracking.models.loading import quiet_loading

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

COLOURS = ("red", "green", "blue", "yellow", "purple", "black", "orange", "gray")
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


def tiny_clip(seed: int = 0) -> "SentenceTransformer":
    """A CLIP of random weights that reads the words of the pictures, made without any download."""
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor, PreTrainedTokenizerFast
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    special = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    words = [*special.values(), "<unk>", *COLOURS, *SHAPES]
    vocabulary = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, "<unk>"))
    vocabulary.pre_tokenizer = Whitespace()
    vocabulary.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=vocabulary, unk_token="<unk>", model_max_length=16, **special
    )
    side = {"height": 32, "width": 32}
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=side)
    layers = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }  # fmt: skip
    texts = {"vocab_size": len(words), "max_position_embeddings": 16}
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = CLIPConfig(
        text_config=layers | texts | ends,
        vision_config=layers | {"image_size": 32, "patch_size": 8},
        projection_dim=32,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(devices=[]),
        quiet_loading(),
    ):
        torch.manual_seed(seed)
        CLIPModel(config).save_pretrained(folder)
        CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
        return SentenceTransformer(folder, device="cpu")
