"""What a model makes of texts is kept in a folder, and found again, whatever happens to it."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from hooktune.testing import tiny_model
from hooktune.training import embedding_folder, kept_embeddings
from hooktune.training.embedding_folder import EmbeddingFolder
from hooktune.training.embeddings import in_eval_mode
from hooktune.training.encoder import TextEncoder
from hooktune.training.kept_embeddings import KeptEmbeddings

MODEL = tiny_model()
TEXTS = pa.array(["apple bread", "salt", "a red pear", "bread"], pa.large_string())
MORE = pa.array(["salt", "green tea", "apple bread"], pa.large_string())
GB = 10**9


class Died(BaseException):
    """Stands for what no process lives to see."""


def encode(root: Path | None, texts: pa.LargeStringArray = TEXTS, depth: int = 0) -> torch.Tensor:
    """Encodes texts by a model whose embeddings are kept in a folder."""
    encoder = TextEncoder(MODEL, depth, kept=KeptEmbeddings(lambda: "tiny", root))
    with in_eval_mode(MODEL), torch.no_grad():
        rows, vectors = encoder.reader(MODEL).embed(texts, np.arange(len(texts)), "document")
    return vectors[torch.from_numpy(rows)]


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """How many texts each forward pass has encoded."""
    counts: list[int] = []
    forward = type(MODEL).forward

    def count(self, features, **given):
        found = forward(self, features, **given)
        counts.append(len(found["sentence_embedding"]))
        return found

    monkeypatch.setattr(type(MODEL), "forward", count)
    return counts


def numbers(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    keys = np.frombuffer(random.bytes(16 * count), "S16")
    return keys, random.random((count, 8), dtype=np.float32)


@pytest.mark.parametrize("depth", [0, 1])
def test_what_is_kept_equals_what_is_encoded_anew(tmp_path: Path, depth: int):
    anew = TextEncoder(MODEL).reader(MODEL)
    with in_eval_mode(MODEL), torch.no_grad():
        rows, vectors = anew.embed(MORE, np.arange(len(MORE)), "document")
    encode(tmp_path / "kept", TEXTS, depth)
    found = encode(tmp_path / "kept", MORE, depth)
    assert torch.allclose(found, vectors[torch.from_numpy(rows)], atol=1e-6)


def test_only_what_is_new_is_encoded(tmp_path: Path, encoded: list[int]):
    encode(tmp_path / "kept")
    assert sum(encoded) == 4
    encoded.clear()
    encode(tmp_path / "kept", MORE)
    assert sum(encoded) == 1
    encoded.clear()
    encode(tmp_path / "kept", MORE)
    assert encoded == []


def test_a_query_is_not_taken_for_an_item(tmp_path: Path):
    kept = KeptEmbeddings(lambda: "tiny", tmp_path)
    kept.find(TEXTS, np.arange(1), "query")
    kept.add(TEXTS, np.arange(1), "query", torch.ones(1, 8))
    kept.finish()
    assert kept.find(TEXTS, np.arange(1), "query")[0].tolist() == [True]
    assert kept.find(TEXTS, np.arange(1), "document")[0].tolist() == [False]


def test_a_process_that_dies_while_it_encodes_leaves_what_it_had(
    tmp_path: Path, monkeypatch, encoded: list[int]
):
    monkeypatch.setattr(kept_embeddings, "_WRITTEN_EVERY", 0)
    monkeypatch.setattr(kept_embeddings.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("hooktune.training.encoder._TOKENS_AT_ONCE", {"cpu": 1})
    forward = type(MODEL).forward

    def die_at_the_third(self, features, **given):
        if len(encoded) == 2:
            raise Died
        return forward(self, features, **given)

    with monkeypatch.context() as patch:
        patch.setattr(type(MODEL), "forward", die_at_the_third)
        with pytest.raises(Died):
            encode(None)
    encoded.clear()
    found = encode(None)
    assert sum(encoded) == 2
    assert torch.allclose(found, encode(tmp_path / "anew"), atol=1e-6)
    (root,) = tmp_path.glob("hooktune-embeddings-*")
    assert root.stat().st_mode & 0o077 == 0
    KeptEmbeddings(lambda: "tiny", None).discard()
    assert not root.exists()


def test_what_is_encoded_in_no_time_leaves_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(kept_embeddings.tempfile, "gettempdir", lambda: str(tmp_path))
    encode(None)
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_of_somebody_else_is_not_believed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(kept_embeddings.tempfile, "gettempdir", lambda: str(tmp_path))
    root = tmp_path / f"hooktune-embeddings-{os.getuid()}"
    root.mkdir()
    root.chmod(0o777)
    folder = EmbeddingFolder(root, "tiny", GB)
    kept = KeptEmbeddings(lambda: "tiny", None)
    keys = kept_embeddings._keys(TEXTS, np.arange(4), "document")
    folder.add(keys, np.ones((4, 32), dtype=np.float32))
    assert not kept.find(TEXTS, np.arange(4), "document")[0].any()


def test_a_folder_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = tmp_path / "file"
    file.write_text("no folder")
    assert encode(file / "kept").shape == (4, 32)
    assert "embeddings are not kept" in caplog.text


@pytest.mark.parametrize("damage", ["vector", "check", "cut"])
def test_damaged_rows_are_not_found_and_are_made_anew(tmp_path: Path, damage: str):
    keys, vectors = numbers(10)
    folder = EmbeddingFolder(tmp_path, "m", GB)
    folder.add(keys, vectors)
    file = tmp_path / "m" / ("keys" if damage == "check" else "vectors-8")
    content = bytearray(file.read_bytes())
    if damage == "cut":
        del content[-40:]
    else:
        content[3 * len(content) // 10 + 20] ^= 1
    file.write_bytes(content)
    known, found = folder.find(keys)
    assert np.count_nonzero(~known) == (2 if damage == "cut" else 1)
    assert np.array_equal(found, vectors[known])
    folder.add(keys[~known], vectors[~known])
    again, whole = EmbeddingFolder(tmp_path, "m", GB).find(keys)
    assert again.all()
    assert np.array_equal(whole, vectors)


def test_vectors_without_keys_of_a_process_that_died_are_written_over(tmp_path: Path):
    keys, vectors = numbers(4)
    folder = EmbeddingFolder(tmp_path, "m", GB)
    folder.add(keys[:2], vectors[:2])
    with (tmp_path / "m" / "vectors-8").open("ab") as end:
        end.write(b"some part of a row")
    folder.find(keys)
    folder.add(keys[2:], vectors[2:])
    known, found = folder.find(keys)
    assert known.all()
    assert np.array_equal(found, vectors)


def test_what_two_processes_encode_at_once_is_kept_once(tmp_path: Path):
    keys, vectors = numbers(6)
    one, two = (EmbeddingFolder(tmp_path, "m", GB) for _ in range(2))
    for folder in (one, two):
        assert not folder.find(keys)[0].any()
    one.add(keys[:4], vectors[:4])
    two.add(keys, vectors)
    assert (tmp_path / "m" / "keys").stat().st_size == 6 * 24
    assert np.array_equal(one.find(keys)[1], vectors)


def test_the_model_that_was_not_used_for_the_longest_time_makes_room(tmp_path: Path):
    keys, vectors = numbers(100)
    size = 100 * (24 + 32)
    for number, name in enumerate("abc"):
        EmbeddingFolder(tmp_path, name, GB).add(keys, vectors)
        os.utime(tmp_path / name, (number, number))
    EmbeddingFolder(tmp_path, "a", GB).find(keys)
    EmbeddingFolder(tmp_path, "d", 3 * size).add(keys, vectors)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c", "d"]
    with pytest.raises(OSError, match="already"):
        EmbeddingFolder(tmp_path, "e", size - 1).add(keys, vectors)


def test_a_check_tells_each_bit(tmp_path: Path):
    keys, vectors = numbers(1)
    expected = embedding_folder._checks(keys, vectors)
    words = vectors.view(np.uint32)
    for bit in range(32 * words.size):
        words[0, bit // 32] ^= np.uint32(1 << bit % 32)
        assert embedding_folder._checks(keys, vectors) != expected
        words[0, bit // 32] ^= np.uint32(1 << bit % 32)
