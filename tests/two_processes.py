"""Two processes train one model over gloo, as several accelerators would over their own links."""

import multiprocessing
import os

import torch
from ports import linked_environments

from hooktune.testing import tiny_model
from hooktune.training.process_group import join_process_group

# Made here, as transformers saves a model, which this takes, in the first process of a group alone.
MODEL = tiny_model().eval()


def in_two_processes(work) -> list:
    """Return what `work(group)` gives in each of two processes."""
    context = multiprocessing.get_context("fork")

    def one(rank, environment, answers):
        os.environ |= environment
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # its threads are not there after a fork
        try:
            answers.put((rank, work(join_process_group("cpu"))))
        finally:
            torch.distributed.destroy_process_group()

    answers = context.Queue()
    processes = [
        context.Process(target=one, args=(rank, environment, answers))
        for rank, environment in enumerate(linked_environments(2))
    ]
    for each in processes:
        each.start()
    found = dict(answers.get(timeout=60) for _ in processes)
    for each in processes:
        each.join(60)
        assert each.exitcode == 0
    return [found[0], found[1]]
