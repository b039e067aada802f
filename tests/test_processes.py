"""Which processes have died, and the temporary folders that they left."""

import json
import os
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from made_records import dead_process

from hooktune import processes
from hooktune.processes import describe_process, has_died, scratch_folder, sweep_scratch


@pytest.fixture(autouse=True)
def temp_folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_folders_of_the_dead_are_swept_and_no_others(temp_folder: Path):
    foreign = ["hooktune-1000-abc.lock", "hooktune-demo", "hooktune-x-1-y-z", "other"]
    for name in foreign:
        (temp_folder / name).mkdir()
    child = os.fork()
    if not child:
        folder = tempfile.mkdtemp(prefix=processes._scratch_prefix(os.getpid()))
        Path(folder, "weights").touch()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(list(temp_folder.iterdir())) == len(foreign) + 1
    with scratch_folder() as own:
        sweep_scratch()
        assert own.exists()
        assert sorted(path.name for path in temp_folder.iterdir()) == sorted([*foreign, own.name])


def test_a_process_id_that_was_given_again_keeps_nothing(temp_folder: Path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(processes, "_beginning", lambda pid: "another boot")
        folder = Path(tempfile.mkdtemp(prefix=processes._scratch_prefix(os.getpid())))
    sweep_scratch()
    assert not folder.exists()


def test_a_process_of_another_version_keeps_its_folder_while_it_lives(monkeypatch):
    """It names its folders otherwise, as by what it tells of a process."""
    with ExitStack() as stack:
        with monkeypatch.context() as patch:
            patch.setattr(processes, "describe_process", lambda pid: f"process {pid}")
            folder = stack.enter_context(scratch_folder())
        sweep_scratch()
        assert folder.exists()


def test_what_another_machine_or_container_has_there_stays(temp_folder: Path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(processes, "_pid_space", lambda: "another container")
        folder = Path(tempfile.mkdtemp(prefix=processes._scratch_prefix(2**22 + 1)))
    sweep_scratch()
    assert folder.exists()


def test_a_process_has_died_when_its_id_is_free_or_taken_by_another():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    host, here = socket.gethostname(), json.loads(describe_process())
    assert has_died(json.dumps(here | {"pid": child}))
    assert has_died(json.dumps(dead_process()))
    assert not has_died(describe_process())
    for unknown in (None, "", "[]", "{}", "x", json.dumps({"host": host}), '{"pid": 1}'):
        assert not has_died(unknown)


def test_a_process_of_another_boot_is_not_known_to_be_dead():
    """Two machines made from one image have one name and one number for their process ids."""
    dead = dead_process()
    twin = dead | {"began": "0b2a5dc2-4bd5-4a3c-8f61-2f2b3bb7c0de 4242"}
    assert has_died(json.dumps(dead | {"pid": 2**22 + 1}))
    assert not has_died(json.dumps(twin))
    assert not has_died(json.dumps(twin | {"pid": 2**22 + 1}))
    assert not has_died(json.dumps(dead | {"began": None}))
