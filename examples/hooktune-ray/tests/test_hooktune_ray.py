import time

import pytest

from hooktune import RequestError, Resources, Worker, WorkerCommand

ray = pytest.importorskip("ray")
hooktune_ray = pytest.importorskip("hooktune_ray")


@pytest.mark.filterwarnings("ignore")
def test_a_worker_is_a_task_whose_words_and_end_are_told(tmp_path):
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        command = WorkerCommand(("--version",), {}, str(tmp_path), 1, 1)
        worker = hooktune_ray.launch(command, Resources())
        assert isinstance(worker, Worker)
        said = []
        while (status := worker.poll()) is None:
            said += worker.messages()
            time.sleep(0.1)
        said += worker.messages()
        assert status == 0
        assert [line.split(",")[0] for line in said] == ["hooktune"]
    finally:
        ray.shutdown()


def test_a_cluster_that_cannot_be_reached_is_told(monkeypatch):
    def nowhere(**_):
        raise ConnectionError("Could not find any running Ray instance.\nand more")

    monkeypatch.setattr(ray, "init", nowhere)
    with pytest.raises(RequestError, match="No Ray cluster can be reached: Could not find any"):
        hooktune_ray.join_cluster()
