import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from hooktune.testing import tiny_model
from hooktune.training.tokens import encoded_texts, prompt, tokenise

MODEL = tiny_model()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=6), st.data())
def test_padded_rows_are_what_the_model_itself_would_read(texts, data):
    tokens = tokenise(MODEL, texts, "document")
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=6))
    own = encoded_texts(MODEL, [texts[row] for row in rows], "document")
    padded = tokens.padded(np.array(rows))
    assert padded.keys() == own.keys()
    for name, value in own.items():
        assert torch.equal(padded[name], value) if torch.is_tensor(value) else padded[name] == value


def test_rows_that_are_filled_up_on_the_left_stay_so():
    model = tiny_model()
    model.tokenizer.padding_side = "left"
    texts = ["apple", "apple bread mango"]
    padded = tokenise(model, texts, "query").padded(np.array([0, 1]))
    assert torch.equal(padded["input_ids"], encoded_texts(model, texts, "query")["input_ids"])
    assert padded["attention_mask"][0, 0] == 0


def test_prompts_stand_before_the_texts():
    model = tiny_model()
    plain = tokenise(model, ["apple"], "query")
    model.prompts = {"query": "find ", "passage": "text "}
    assert (prompt(model, "query"), prompt(model, "document")) == ("find ", "text ")
    assert tokenise(model, ["apple"], "query").lengths > plain.lengths


def test_a_model_that_reads_no_rows_of_tokens_has_none():
    tokenizer = tiny_model().tokenizer.backend_tokenizer
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu")
    assert tokenise(model, ["apple"], "query") is None


@pytest.mark.parametrize("texts", [[], [""]])
def test_no_text_and_an_empty_one_have_rows(texts):
    tokens = tokenise(MODEL, texts, "document")
    assert len(tokens.lengths) == len(texts)


def test_whether_tokens_begin_with_others():
    all_texts = tokenise(MODEL, ["apple", "bread", "mango"], "document")
    assert all_texts.begin(tokenise(MODEL, ["apple", "bread"], "document"))
    assert not all_texts.begin(tokenise(MODEL, ["apple", "mango"], "document"))


def test_a_model_that_cuts_all_texts_to_one_length_pads_none():
    model = tiny_model()
    model.max_seq_length = 2
    tokens = tokenise(model, ["apple", "an apple and a pear", ""], "query")
    assert tokens.lengths.tolist() == [2, 2, 2]
    assert not (tokens.padded(np.arange(3))["attention_mask"] == 0).any()
