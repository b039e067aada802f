import time

import pytest

from hooktune import RequestError, Resources, Worker, WorkerCommand

hooktune_slurm = pytest.importorskip("hooktune_slurm")


def test_a_worker_is_a_job_whose_words_and_end_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HOOKTUNE_SLURM", "cluster=local timeout_min=5")
    command = WorkerCommand(("--version",), {}, str(tmp_path), 1, 1)
    worker = hooktune_slurm.launch(command, Resources(cpus=2))
    assert isinstance(worker, Worker)
    said = []
    while (status := worker.poll()) is None:
        said += worker.messages()
        time.sleep(0.1)
    said += worker.messages()
    assert status == 0
    assert [line.split(",")[0] for line in said] == ["hooktune"]
    assert (tmp_path / "hooktune-slurm").stat().st_mode & 0o077 == 0


def test_a_machine_without_slurm_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("HOOKTUNE_SLURM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match="There is no Slurm on this machine"):
        hooktune_slurm.launch(WorkerCommand((), {}, str(tmp_path), 1, 1), Resources())
    monkeypatch.setenv("HOOKTUNE_SLURM", "partition")
    with pytest.raises(RequestError, match="'partition', which is not name=value"):
        hooktune_slurm.parameters()
