"""Fixtures for tests of plugins, which pytest finds by the entry point `pytest11`.

pytest imports this module in every project where hooktune is installed, so all that takes time is
imported by the fixtures themselves.
"""

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.contract.sessions import Sessions


@pytest.fixture(scope="session")
def _hooktune_model() -> "SentenceTransformer":
    from hooktune.testing import tiny_model

    return tiny_model()


@pytest.fixture
def hooktune_tiny_model(_hooktune_model: "SentenceTransformer") -> "SentenceTransformer":
    """A sentence-transformers model of a few thousand weights, which the test may train."""
    return copy.deepcopy(_hooktune_model)


@pytest.fixture
def hooktune_made_up_sessions() -> "Sessions":
    """Forty made-up sessions with 8 results each, as the columns that hooks are given."""
    from hooktune.testing import made_up_sessions

    return made_up_sessions()


@pytest.fixture
def hooktune_made_up_batch(tmp_path: Path) -> Path:
    """The folder of a released batch of forty made-up sessions, for `Runner.run`."""
    from hooktune.iteration.log_release import release_batch
    from hooktune.testing import made_up_log

    files = tmp_path / "hooktune-sessions.jsonl", tmp_path / "hooktune-items.jsonl"
    for file, rows in zip(files, made_up_log(), strict=True):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    release_batch(*files, tmp_path / "hooktune-batch")
    return tmp_path / "hooktune-batch"
