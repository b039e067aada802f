"""Images beside texts in a column, as a CLIP reads them."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from pictures import picture, tiny_clip

from hooktune import RequestError, image_text
from hooktune.testing import tiny_model
from hooktune.training import images
from hooktune.training.encoder import TextEncoder
from hooktune.training.optimizer import lowest_layers

CIRCLE, SQUARE = (
    image_text(picture("red", "circle")), image_text(picture("blue", "square", size=48))
)  # fmt: skip
COLUMN = pa.array(["red circle", CIRCLE, SQUARE, "blue", CIRCLE], pa.large_string())
INDEX = np.arange(len(COLUMN))


@pytest.fixture(scope="module")
def clip():
    return tiny_clip().eval()


def embedded(reader, column=COLUMN, learned=None) -> torch.Tensor:
    rows, embeddings = reader.embed(column, np.arange(len(column)), "document", learned)
    return embeddings[torch.from_numpy(rows)]


def expected(model, column=COLUMN) -> np.ndarray:
    return np.concatenate(
        [model.encode_document([text], normalize_embeddings=True) for text in column.to_pylist()]
    )


def test_images_and_texts_of_one_column_are_encoded_as_by_the_model_itself(clip):
    found = embedded(TextEncoder(clip).reader(clip)).numpy(force=True)
    np.testing.assert_allclose(found, expected(clip), atol=1e-5)


@pytest.mark.parametrize(("budget", "count"), [(10**9, 2), (4 * 3 * 32 * 32, 3), (0, 4)])
def test_an_image_is_decoded_once_while_memory_lasts(clip, monkeypatch, budget, count):
    decoded, load = [], images.load_image
    monkeypatch.setattr(images, "load_image", lambda text: decoded.append(text) or load(text))
    monkeypatch.setattr(images, "MEMORY_BUDGET", budget)
    reader = TextEncoder(clip).reader(clip)
    for _ in range(2):
        found = embedded(reader).numpy(force=True)
        np.testing.assert_allclose(found, expected(clip), atol=1e-5)
    assert len(decoded) == count


def test_a_gradient_reaches_the_images_that_are_learned_from(clip):
    learned = np.array([True, False, True, False, False])
    embeddings = embedded(TextEncoder(clip).reader(clip), learned=learned)
    (gradient,) = torch.autograd.grad(
        embeddings[2].sum(), [clip[0].model.visual_projection.weight], retain_graph=True
    )
    assert gradient.abs().sum() > 0
    (nothing,) = torch.autograd.grad(
        embeddings[1].sum(), [clip[0].model.visual_projection.weight], allow_unused=True
    )
    assert nothing is None or not nothing.any()


def test_a_text_that_looks_like_an_image_elsewhere_is_a_text(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(picture("red", "circle"))
    column = pa.array(["a.png", "https://127.0.0.1:1/a.png", CIRCLE], pa.large_string())
    found = embedded(TextEncoder(clip).reader(clip), column).numpy(force=True)
    (word,) = clip.encode_document(["unknown words"], normalize_embeddings=True)
    assert abs(found[0] @ found[2]) < 0.999
    assert np.isfinite(word).all()
    texts = embedded(TextEncoder(clip).reader(clip), column[:2]).numpy(force=True)
    np.testing.assert_allclose(texts, found[:2], atol=1e-5)


def test_a_model_of_texts_refuses_images(clip):
    model = tiny_model()
    with pytest.raises(
        RequestError, match=r"3 queries or items .* are images, and the model reads"
    ):
        images.check_reads_images(model, COLUMN)
    with pytest.raises(RequestError, match="Start from one that reads images"):
        embedded(TextEncoder(model).reader(model))


def test_half_of_each_transformer_of_a_clip_is_frozen(clip):
    model = clip[0].model
    frozen = {id(module) for module in lowest_layers(clip, "half")}
    for tower in (model.text_model, model.vision_model):
        assert id(tower.embeddings) in frozen
        assert [id(layer) in frozen for layer in tower.encoder.layers] == [True, False]
    with pytest.raises(RequestError, match="frozen_layers is 3, but the model has 2"):
        lowest_layers(clip, 3)
