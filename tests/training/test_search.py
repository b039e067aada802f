"""Exact search in blocks: the same as comparing everything at once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hooktune.training import search
from hooktune.training.search import best_columns, nearest_items


def by_sorting(scores: np.ndarray, depth: int) -> np.ndarray:
    """The columns of each row by descending score, those of one score in their order."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :depth]


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 20), st.integers(1, 60), st.integers(1, 40), st.integers(1, 9),
    st.integers(1, 23), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_blocks_find_what_the_whole_holds(queries, items, depth, at_once, blocks, seed):
    random = torch.Generator().manual_seed(seed)
    # Small whole numbers: similarities are exact, and many of them are equal.
    asked, offered = (
        torch.randint(-2, 3, (count, 3), generator=random).float() for count in (queries, items)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_QUERIES_AT_ONCE", at_once)
        patch.setattr(search, "_ITEMS_AT_ONCE", blocks)
        found = nearest_items(asked, offered, depth)
    expected = np.full((queries, depth), -1)
    ranked = by_sorting((asked @ offered.T).numpy(), depth)
    expected[:, : ranked.shape[1]] = ranked
    np.testing.assert_array_equal(found, expected)


def test_a_similarity_that_is_no_number_is_never_found():
    scores = torch.tensor([[0.5, np.nan, 0.7], [np.nan, np.nan, np.nan]])
    assert best_columns([scores, scores], 4).tolist() == [[2, 5, 0, 3], [-1, -1, -1, -1]]
    assert best_columns([scores], 1).tolist() == [[2], [-1]]
