"""What may befall the files of a local store: cut off, replaced, in the way."""

from pathlib import Path

import pytest
from tracked import begin, do_run

from hooktune.errors import StoreError
from hooktune.tracking import Tracker
from hooktune.tracking.connection import database_file


def contents(folder: Path) -> list[tuple[str, bytes]]:
    return sorted((str(path), path.read_bytes()) for path in folder.rglob("*") if path.is_file())


def test_a_database_that_was_cut_to_nothing_is_no_new_store(store_uri: str):
    tracker = Tracker(store_uri)
    do_run(tracker, begin(tracker), 0.1)
    database = database_file(store_uri)
    database.write_bytes(b"")
    before = contents(database.parent)
    with pytest.raises(StoreError, match=r"is an empty file, though .* Restore it from a backup"):
        Tracker(store_uri).iterations()
    assert contents(database.parent) == before


def test_an_empty_file_alone_becomes_a_store(tmp_path: Path):
    (tmp_path / "mlflow.db").touch()
    assert Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}").iterations() == []


def test_a_file_where_artifacts_go_is_told_before_anything_is_made(tmp_path: Path, store_uri: str):
    in_the_way = database_file(store_uri).parent / "mlruns"
    in_the_way.write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match="mlruns is no folder"):
        Tracker(store_uri).iterations()
    assert in_the_way.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    "written", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_database_is_told_and_left_as_it_is(store_uri: str, written: bytes):
    database_file(store_uri).write_bytes(written)
    with pytest.raises(StoreError, match="cannot be opened"):
        Tracker(store_uri).iterations()
    assert database_file(store_uri).read_bytes() == written
