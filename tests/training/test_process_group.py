"""Two processes train one model over gloo, as several accelerators would over their own links."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from recording_run import RecordingRun, columns, draw_clicked, weights_of
from two_processes import MODEL, in_two_processes

from hooktune.contract.metric import MainMetric
from hooktune.contract.params import TrainingParams
from hooktune.contract.sessions import TrainingBatch
from hooktune.training.encoder import TextEncoder
from hooktune.training.loop import train
from hooktune.training.process_group import ALONE, ProcessGroup, join_process_group
from hooktune.training.scoring import score_results

PARAMS = TrainingParams(
    epochs=1, mini_batch_size=8, learning_rate=1e-3, frozen_layers=0, accumulated_mini_batches=2,
    precision="float32", weights_kept=0.5,
)  # fmt: skip


def trained(group: ProcessGroup, frozen_layers: int = 0):
    sessions = columns(seed=1)
    encoder = TextEncoder(copy.deepcopy(MODEL), frozen_layers, group)
    scores = score_results(encoder.model, sessions, encoder)
    batch = TrainingBatch("0" * 24, sessions, scores)
    run = RecordingRun(
        sessions, scores, main_metric=MainMetric("test_x"), answers=[0.0] * 9, encoder=encoder
    )
    params = PARAMS.model_copy(update={"frozen_layers": frozen_layers})
    weights = weights_of(train(run, copy.deepcopy(MODEL), batch, draw_clicked, params))
    losses = [metrics["train_loss"] for _, metrics in run.logged]
    return scores, losses, {name: weight.numpy() for name, weight in weights.items()}


def distance(weights, others):
    return np.sqrt(sum(np.square(weights[name] - others[name]).sum() for name in others))


@pytest.mark.parametrize("frozen_layers", [0, 1])
def test_two_processes_give_the_numbers_of_one(frozen_layers):
    alone = trained(ALONE, frozen_layers)
    for together in in_two_processes(lambda group: trained(group, frozen_layers)):
        np.testing.assert_allclose(together[0], alone[0], atol=1e-5)
        np.testing.assert_allclose(together[1], alone[1], atol=1e-5)
        # Which texts are held in half precision depends on who encodes them, and AdamW takes steps
        # of one length wherever a gradient is all but 0.
        start = {name: weight.numpy() for name, weight in weights_of(MODEL).items()}
        assert distance(together[2], alone[2]) < 0.03 * distance(alone[2], start)


def test_what_the_first_process_gives_reaches_all():
    assert in_two_processes(lambda group: group.share(["a", group.rank])) == [["a", 0], ["a", 0]]


def test_what_fails_in_the_first_process_fails_in_all():
    def failed(group):
        try:
            group.lead(lambda: {}["no luck"])
        except Exception as error:
            return repr(error), group.lead(lambda: "in step")

    assert in_two_processes(failed) == [
        ("KeyError('no luck')", "in step"),
        ("""HooktuneError("KeyError: 'no luck'")""", "in step"),
    ]


def test_a_process_may_have_no_rows():
    def gathered(group):
        own = torch.ones(2, 3, requires_grad=True) if group.leads else None
        rows = group.gather_rows(own, [2, 0])
        return rows.detach().tolist(), rows.requires_grad

    assert in_two_processes(gathered) == [([[1.0] * 3] * 2, True), ([[1.0] * 3] * 2, False)]


def test_gradients_are_added_up_and_none_stays_none():
    def added(group):
        weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
        weights[0].grad = torch.full((2,), group.rank + 1.0)
        if group.leads:
            weights[1].grad = torch.ones(2)
        group.add_gradients(weights)
        return [None if each.grad is None else each.grad.tolist() for each in weights]

    assert in_two_processes(added) == [[[3.0, 3.0], [1.0, 1.0], None]] * 2


def test_without_a_launcher_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_process_group() == ALONE
    assert replace(ALONE, device="cpu").share(3) == 3
