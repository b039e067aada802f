"""A disk that ends after so many bytes of a file: what is written is whole, or is not there.

`HOOKTUNE_LONG_TESTS=1` lets it end after every number of bytes, which otherwise are some of them.
"""

import logging
import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from log_writers import write_json_lines

from hooktune.data.beir import export_beir
from hooktune.data.release import open_batch
from hooktune.errors import RequestError
from hooktune.iteration.log_release import release_batch
from hooktune.testing import made_up_log, tiny_model
from hooktune.tracking import RunRecord, Tracker
from hooktune.tracking.connection import database_file
from hooktune.tracking.outbox.spool import LogText, RunSpool
from hooktune.training.embedding_folder import EmbeddingFolder

LONG: Final = bool(os.environ.get("HOOKTUNE_LONG_TESTS"))


def sizes(largest: int, step: int) -> Iterator[int]:
    """Numbers of bytes up to that of the largest file: all in the long tests."""
    return chain(range(0, largest, 1 if LONG else step), [largest])


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a disk that is full.

    Nothing is logged meanwhile, as what the tests print goes to a file too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    logging.disable()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        logging.disable(logging.NOTSET)


def test_a_batch_is_released_whole_or_not_at_all_wherever_the_disk_ends(tmp_path: Path):
    log, items = (
        write_json_lines(tmp_path / name, rows)
        for name, rows in zip(("log", "items"), made_up_log(0), strict=True)
    )
    whole = release_batch(log, items, tmp_path / "whole")
    largest = max(path.stat().st_size for path in (tmp_path / "whole").iterdir())
    before, failed = set(tmp_path.iterdir()), 0
    for size in sizes(largest, 97):
        try:
            with room_for(size):
                release_batch(log, items, tmp_path / "batch")
        except RequestError as error:
            assert "cannot be written" in str(error)  # noqa: PT017
            assert set(tmp_path.iterdir()) == before
            failed += 1
        else:
            assert open_batch(tmp_path / "batch").batch_id == whole.batch_id
            shutil.rmtree(tmp_path / "batch")
    assert failed > 20


def test_what_is_kept_for_later_is_whole_or_refused_wherever_the_disk_ends(
    tracker: Tracker, run: RunRecord
):
    texts = [LogText(text=f"{number:04}" * 20, file=f"{number}.txt") for number in range(6)]
    folder = tracker.spool_folder / run.run_id
    for size in sizes(900, 7):
        spool, told = RunSpool(folder, "store"), []
        for text in texts:
            try:
                with room_for(size):
                    spool.add(text)
                told.append(text)
            except OSError:
                pass
        kept = spool.operations()
        assert [each for each in kept if each in told] == told
        assert [each for each in kept if each not in texts] == []
        spool.hold()
        spool.clear()


def test_a_model_is_kept_whole_or_not_at_all_wherever_the_disk_ends(
    tracker: Tracker, run: RunRecord, tiny_model_folder: Path
):
    spool, model = RunSpool(tracker.spool_folder / run.run_id), tiny_model()
    largest = max(path.stat().st_size for path in tiny_model_folder.iterdir())
    # All files but that of the weights are smaller than 5 kB.
    for size in chain(sizes(5_000, 999), range(5_001, largest, 9_973), [largest - 1]):
        with (
            pytest.raises(Exception, match=r"File too large|os error 27|I/O|write"),
            room_for(size),
        ):
            spool.keep_model(model)
        assert not spool.has_model
    spool.keep_model(model)
    assert spool.load_model().encode("apple").shape == (32,)
    spool.release()


def test_a_store_whose_disk_is_full_says_so_and_stays_whole(tracker: Tracker, run: RunRecord):
    database = database_file(tracker.tracking_uri)
    size = database.stat().st_size
    for part in (0, 1000, size // 2, size - 1, size):
        with pytest.raises(Exception, match=r"disk|full|I/O"), room_for(part):
            tracker.tag(run, {"mine": "x" * 5000})
        with closing(sqlite3.connect(database)) as store:
            assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    tracker.tag(run, {"mine": "y"})
    assert tracker.run(run.run_id).tags["mine"] == "y"


def test_a_collection_is_exported_whole_or_not_at_all_wherever_the_disk_ends(
    released_batch: Path, tmp_path: Path
):
    batch = open_batch(released_batch)
    export_beir(batch, tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    largest = max(map(len, whole.values()))
    for size in sizes(largest, 97):
        if size < largest:
            with pytest.raises(RequestError, match="cannot be written"), room_for(size):
                export_beir(batch, tmp_path / "collection")
            assert [path.name for path in tmp_path.iterdir()] == ["whole"]
        else:
            with room_for(size):
                export_beir(batch, tmp_path / "collection")
            assert contents(tmp_path / "collection") == whole


def contents(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_embeddings_are_kept_whole_or_not_at_all_after_every_number_of_bytes(tmp_path: Path):
    texts = np.array([f"text number {number:04}" for number in range(6)], dtype="S16")
    vectors = np.arange(24, dtype=np.float32).reshape(6, 4)
    for size in range(6 * 24 + 1):
        folder = EmbeddingFolder(tmp_path / str(size), "model", 10**6)
        folder.add(texts[:2], vectors[:2])
        try:
            with room_for(size):
                folder.add(texts[2:], vectors[2:])
        except OSError:
            assert size < 6 * 24
        known, found = folder.find(texts)
        assert known[:2].all()
        np.testing.assert_array_equal(found, vectors[known])
        folder.add(texts[~known], vectors[~known])
        known, found = folder.find(texts)
        assert known.all()
        np.testing.assert_array_equal(found, vectors)
