"""Models out of the tracking store: loaded, and copied as a folder."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from tracked import begin, do_run, finish, initial_run, model_folders

from hooktune.errors import RequestError
from hooktune.tracking import Tracker


def test_a_model_is_loaded_and_exported_from_a_folder_with_blanks_and_umlauts(
    tmp_path: Path, empty_store: Path
):
    folder = tmp_path / "a store, größer 100%"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db")
    run = initial_run(tracker)
    tracker.export_model(run, tmp_path / "exported")
    exported = SentenceTransformer(str(tmp_path / "exported"), device="cpu")
    np.testing.assert_array_equal(
        exported.encode("apple"), tracker.load_model(run, "cpu").encode("apple")
    )
    with pytest.raises(RequestError, match="not an empty folder"):
        tracker.export_model(run, tmp_path / "exported")
    finish(tracker, 1, 0.1, 0.2)
    assert len(model_folders(tracker)) == 2


def test_a_run_without_a_model_says_so(store_uri: str):
    tracker = Tracker(store_uri)
    iteration = begin(tracker)
    old = do_run(tracker, iteration, 0.1)
    do_run(tracker, iteration, 0.2)
    assert not tracker.has_model(old)
    with pytest.raises(RequestError, match=f"Run {old.run_id} .* has no model"):
        tracker.load_model(old)
