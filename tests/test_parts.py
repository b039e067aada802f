"""Models that read long documents in parts, where others cut them."""

import copy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner
from log_writers import write_json_lines
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding

from hooktune import RequestError, Runner, hookimpl, in_parts, release_batch
from hooktune.cli import cli
from hooktune.parts import MaximumOfParts, TransformerInParts, load_sentence_transformer
from hooktune.testing import check_method, made_up_log, tiny_model
from hooktune.tracking.models.loading import load_folder
from hooktune.tracking.models.safe_settings import problem_of_settings
from hooktune.training.encoder import TextEncoder
from hooktune.training.mean_model import Part, write_changes, write_mean
from hooktune_query_map.router import map_of, put_map

LENGTH = 16
SHORT = ["apple bread", "", "mango " * 14]
LONG = ["apple " * 20, "violin piano " * 25 + "cello", "bread " * 15]


@pytest.fixture
def plain() -> SentenceTransformer:
    model = tiny_model(layers=3).eval()
    model.max_seq_length = LENGTH
    model.append(Normalize())
    return model


@pytest.fixture
def model(plain) -> SentenceTransformer:
    return in_parts(plain)


def by_hand(model: SentenceTransformer, texts: list[str], prompt: str = "") -> torch.Tensor:
    """Embed texts by a model that cuts them, a part at a time."""
    reader, pooling, embeddings = model[0], model[1], []
    before = [reader.tokenizer.cls_token_id, *tokens_of(model, prompt)]
    room = LENGTH - len(before) - 1
    for text in texts:
        tokens = tokens_of(model, text)
        ends = [*range(room, len(tokens), room), len(tokens)]
        parts = []
        for end in ends:
            part = [*before, *tokens[max(end - room, 0) : end], reader.tokenizer.sep_token_id]
            ids = torch.tensor([part])
            features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            parts.append(pooling(reader(features))["sentence_embedding"][0])
        of_each = torch.stack(parts).T
        farthest = of_each.abs().argmax(dim=1)
        embeddings.append(torch.stack([of_each[d, part] for d, part in enumerate(farthest)]))
    return torch.nn.functional.normalize(torch.stack(embeddings), dim=1)


def tokens_of(model: SentenceTransformer, text: str) -> list[int]:
    return model[0].tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def test_texts_that_fit_and_all_queries_are_read_as_before(plain, model):
    np.testing.assert_array_equal(model.encode_document(SHORT), plain.encode_document(SHORT))
    np.testing.assert_array_equal(model.encode_query(LONG), plain.encode_query(LONG))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("prompt", ["", "bread piano "])
def test_a_long_document_is_the_maximum_of_its_parts(plain, model, prompt, side):
    model.prompts["document"] = prompt
    model.tokenizer.padding_side = side
    # Behind padding a text has other positions, whatever reads it.
    texts = LONG if side == "left" else [*LONG, *SHORT]
    expected = by_hand(plain, texts, prompt).detach().numpy()
    np.testing.assert_allclose(model.encode_document(texts), expected, atol=1e-5)
    np.testing.assert_allclose(model.encode_document(texts[0]), expected[0], atol=1e-5)


def test_gradients_are_those_of_the_maximum(plain, model):
    def gradients(own: SentenceTransformer, embeddings: torch.Tensor) -> torch.Tensor:
        wanted = torch.randn(len(LONG), 32, generator=torch.manual_seed(0))
        own.zero_grad()
        (embeddings * wanted).sum().backward()
        of_weights = [weight.grad for weight in own.parameters() if weight.grad is not None]
        return torch.cat([each.flatten() for each in of_weights])

    expected = gradients(plain, by_hand(plain, LONG))
    found = model(model.preprocess(LONG, task="document"))["sentence_embedding"]
    torch.testing.assert_close(gradients(model, found), expected, atol=1e-5, rtol=1e-4)
    texts, index = pa.array(LONG, pa.large_string()), np.arange(3)
    reader, learned = TextEncoder(model).reader(model), np.ones(3, dtype=bool)
    rows, found = reader.embed(texts, index, "document", learned)
    # hooktune holds in half precision what the backward pass needs.
    apart = gradients(model, found[torch.from_numpy(rows)]) - expected
    assert apart.norm() < 1e-3 * expected.norm()


def test_a_word_beyond_the_cut_decides(plain, model):
    texts = ["apple " * 20 + word for word in ("violin", "piano")]
    query = "violin"
    assert np.ptp(plain.encode_document(texts) @ plain.encode_query(query)) == 0
    first, other = model.encode_document(texts) @ model.encode_query(query)
    assert first > other + 1e-3


def test_no_more_parts_are_read_than_are_asked_for(plain):
    model, room = in_parts(plain, max_parts=2), LENGTH - 2
    texts = ["apple " * 2 * room + word for word in ("violin", "piano " * 900)]
    first, other = model.encode_document(texts)
    np.testing.assert_allclose(first, other, atol=1e-6)
    assert model.preprocess(texts, task="document")["input_ids"].shape == (2, 2 * LENGTH)


@pytest.mark.parametrize("frozen", [0, 1, 3])
def test_hooktune_reads_in_parts_as_the_model_itself_does(model, frozen):
    texts = [*SHORT, *LONG]
    encoder, column = TextEncoder(model, frozen), pa.array(texts, pa.large_string())
    tuned = copy.deepcopy(model)
    with torch.no_grad():
        tuned[0].model.encoder.layer[2].output.dense.weight.mul_(1 if frozen == 3 else 2)
    for each in (model, tuned, tuned):
        rows, found = encoder.reader(each).embed(column, np.arange(len(texts)), "document")
        np.testing.assert_allclose(found[rows], each.encode_document(texts), atol=1e-5)
    assert (encoder.reader(tuned).parts is None) == (frozen == 0)
    exact = found[rows]
    rows, coarse = encoder.reader(tuned, in_bfloat16=True).embed(
        column, np.arange(len(texts)), "document"
    )
    assert (exact * coarse[rows]).sum(dim=1).min() > 0.99


def test_a_long_text_counts_with_all_of_its_parts(model):
    column = TextEncoder(model).column(pa.array(LONG, pa.large_string()), "document")
    assert column.lengths.tolist() == [2 * LENGTH, 4 * LENGTH, 2 * LENGTH]
    assert (
        TextEncoder(model).column(pa.array(LONG, pa.large_string()), "query").lengths.tolist()
        == [LENGTH] * 3
    )


@pytest.mark.parametrize(
    "load",
    [
        lambda folder: load_folder(Path(folder), "the test", "cpu"),
        lambda folder: load_sentence_transformer(folder, device="cpu"),
        lambda folder: SentenceTransformer(folder, device="cpu", trust_remote_code=True),
    ],
)
def test_a_saved_model_reads_in_parts_again(plain, tmp_path, load):
    model = in_parts(plain, max_parts=3)
    model.save_pretrained(str(tmp_path))
    loaded = load(str(tmp_path))
    assert loaded[0].max_parts == 3
    assert [type(module) for module in loaded] == [type(module) for module in model]
    np.testing.assert_allclose(loaded.encode(LONG), model.encode(LONG), atol=1e-6)


def test_the_mean_of_two_reads_in_parts(model, tmp_path):
    kept = []
    model.save_pretrained(str(tmp_path / "start"))
    for number in (1, 3):
        tuned = copy.deepcopy(model)
        with torch.no_grad():
            tuned[0].model.encoder.layer[1].output.dense.weight.add_(number)
        tuned.save_pretrained(str(tmp_path / f"tuned-{number}"))
        kept.append(tmp_path / f"kept-{number}")
        write_changes(tmp_path / "start", tmp_path / f"tuned-{number}", kept[-1])
    write_mean(tmp_path / "start", [Part(folder) for folder in kept], tmp_path / "mean")
    with torch.no_grad():
        model[0].model.encoder.layer[1].output.dense.weight.add_(2)
    mean = load_folder(tmp_path / "mean", "the test", "cpu")
    np.testing.assert_allclose(mean.encode(LONG), model.encode(LONG), atol=1e-5)


def test_what_stands_behind_the_pooling_maps_one_vector_for_each_text(plain, tmp_path):
    plain.insert(2, Dense(32, 8))
    model = in_parts(plain)
    assert [type(module) for module in model] == [
        TransformerInParts, Pooling, MaximumOfParts, Dense, Normalize
    ]  # fmt: skip
    assert model.encode_document(LONG).shape == (3, 8)
    put_map(model, 2 * torch.eye(8))
    model.save_pretrained(str(tmp_path))
    loaded = load_folder(tmp_path, "the test", "cpu")
    torch.testing.assert_close(map_of(loaded), 2 * torch.eye(8))
    for encode in ("encode_document", "encode_query"):
        found, expected = getattr(loaded, encode)(LONG), getattr(model, encode)(LONG)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_given_model_stays_as_it_is(plain):
    before = [type(module) for module in plain]
    in_parts(plain)
    assert [type(module) for module in plain] == before
    assert plain.model_card_data.model is plain


def test_a_model_that_cannot_read_in_parts_is_refused(plain):
    words = StaticEmbedding(plain.tokenizer.backend_tokenizer, embedding_dim=4)
    router = Router({"query": [words], "document": [words]}, default_route="document")
    endless = copy.deepcopy(plain)
    endless.max_seq_length = int(1e30)
    refused = {
        "does so already": in_parts(plain),
        "read by a Router, not by a Transformer": SentenceTransformer(modules=[router]),
        "read by a StaticEmbedding": SentenceTransformer(modules=[words]),
        "something else than one Pooling": SentenceTransformer(modules=[plain[0]]),
        "set its max_seq_length": endless,
    }
    for problem, model in refused.items():
        with pytest.raises(RequestError, match=problem):
            in_parts(model)
    with pytest.raises(RequestError, match="cannot be 0"):
        in_parts(plain, max_parts=0)


def test_no_other_name_of_hooktune_may_stand_in_a_stored_model():
    stated = [{"idx": 0, "name": "0", "path": "", "type": "hooktune.parts.MaximumOfParts"}]
    assert problem_of_settings("modules.json", stated) is None
    for name in ("hooktune.parts.in_parts", "hooktune.Runner", "hooktune.parts.Pooling"):
        stated[0]["type"] = name
        assert "not one of" in problem_of_settings("modules.json", stated)


class ReadsInParts:
    """A method that starts from a model in parts."""

    @hookimpl
    def upload_initial_model(self):
        model = tiny_model()
        model.max_seq_length = LENGTH
        return in_parts(model)

    @hookimpl
    def fit_batch(self, run, model):
        if run.should_stop():
            return model
        with torch.no_grad():
            model[0].model.encoder.layer[0].output.dense.weight.add_(0.01)
        return model


def test_a_method_may_start_from_a_model_in_parts():
    check_method(ReadsInParts())


def test_a_run_on_long_items_keeps_a_model_that_reads_in_parts(plain, tmp_path, store_uri):
    """What the items are about stands only beyond the cut."""
    sessions, items = made_up_log(0)
    for item in items:
        item["text"] = "0 " * LENGTH + item["text"]
    log = write_json_lines(tmp_path / "sessions.jsonl", sessions)
    release_batch(log, write_json_lines(tmp_path / "items.jsonl", items), tmp_path / "batch")
    start = in_parts(plain)
    start.save_pretrained(str(tmp_path / "model"))
    result = Runner(store_uri).run(
        "Default Fine Tuning Method", tmp_path / "batch", max_runs=1, device="cpu",
        params={"learning_rate": 1e-4, "frozen_layers": 1}, initial_model=str(tmp_path / "model"),
    )  # fmt: skip
    assert result.best is not None, result.runs[0].failure
    kept, texts = result.load_model("cpu"), [item["text"] for item in items]
    command = ["--tracking-uri", store_uri, "export", result.best.run_id, str(tmp_path / "kept")]
    assert "trust_remote_code=True" in CliRunner().invoke(cli, command).stdout
    assert isinstance(kept[0], TransformerInParts)
    assert np.ptp(plain.encode_document(texts), axis=0).max() == 0
    assert np.ptp(kept.encode_document(texts), axis=0).max() > 0.01
    assert np.abs(kept.encode_document(texts) - start.encode_document(texts)).max() > 1e-4
