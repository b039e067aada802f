from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooktune import image_text
from hooktune.testing import made_up_sessions, tiny_model
from hooktune.training.encoder import TextEncoder
from hooktune_query_map.evidence import MOST_OPENINGS, gather_evidence, opening_of


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ("Waterproof boots. Keep feet dry.", "Waterproof boots."),
        ("Is it waterproof? Yes, it is.", "Is it waterproof?"),
        ("Waterproof boots\nFor long walks", "Waterproof boots"),
        ("shear flow past a plate . the author", "shear flow past a plate ."),
        ("Dr. Martens boots. Black leather.", "Dr. Martens boots."),
        ("wasserdichte Stiefel 4.5 mm. Schwarz", "wasserdichte Stiefel 4.5 mm."),
        ("防水登山靴、軽量で丈夫です。雨の日にも使えます。", "防水登山靴、軽量で丈夫です。"),
    ],
)
def test_an_item_begins_by_its_title_or_its_first_sentence(text, opening):
    assert opening_of(text) == opening


@pytest.mark.parametrize("text", ["", "Waterproof boots", "Waterproof boots.", "Boots. ", "\n\n"])
def test_an_item_of_one_sentence_has_no_beginning_that_is_not_all_of_it(text):
    assert opening_of(text) is None


@given(st.text(alphabet=st.sampled_from("ab .!?\n。"), max_size=60))
def test_whatever_an_item_says_it_begins_by_what_was_found(text):
    opening = opening_of(text)
    if opening is not None:
        assert text.strip().startswith(opening)
        assert len(opening) < len(text.strip())


def test_an_image_has_no_first_sentence(tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert opening_of(image_text((tmp_path / "a.png").read_bytes())) is None


def sessions_with(*items):
    sessions = made_up_sessions(items=len(items), results=3)
    return replace(sessions, items=pa.array(items, pa.large_string()))


def test_each_first_sentence_is_to_find_the_items_that_begin_by_it():
    sessions = sessions_with(
        "Trail shoes. Light.", "no sentence", "Hiking boots! Warm.", "Trail shoes. Heavy."
    )
    reader = TextEncoder(model := tiny_model()).reader(model)
    found = gather_evidence(reader, sessions).openings
    expected = model.encode_query(["Trail shoes.", "Hiking boots!"], normalize_embeddings=True)
    assert np.allclose(found.queries, expected, atol=1e-5)
    assert found.targets.offsets.tolist() == [0, 2, 3]
    assert found.targets.item_index.tolist() == [0, 3, 2]
    assert found.targets.shares.tolist() == [0.5, 0.5, 1]


def test_where_no_item_has_two_sentences_there_are_none():
    sessions = sessions_with("boots", "shoes", "socks")
    reader = TextEncoder(model := tiny_model()).reader(model)
    assert gather_evidence(reader, sessions).openings is None


def test_of_a_large_collection_some_items_are_drawn():
    sessions = sessions_with(
        *(f"Trail shoes {place}. Light." for place in range(3 * MOST_OPENINGS))
    )
    reader = TextEncoder(model := tiny_model()).reader(model)
    found = gather_evidence(reader, sessions).openings
    assert len(found) == MOST_OPENINGS
    assert len(np.unique(found.targets.item_index)) == MOST_OPENINGS
