import torch

from hooktune.testing import tiny_model
from hooktune.training.held import holding_less
from hooktune.training.tokens import encoded_texts

TEXTS = ["apple bread", "mango " * 30, "violin piano cello"]


def test_gradients_are_the_same(monkeypatch):
    gradients = []
    for is_less in (False, True):
        model = tiny_model(layers=2).eval()
        features = encoded_texts(model, TEXTS, "document")
        with holding_less() if is_less else torch.enable_grad():
            loss = model(features)["sentence_embedding"].square().sum()
        loss.backward()
        gradients.append([weight.grad for weight in model.parameters() if weight.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_computed_again_is_not_in_memory_meanwhile():
    up = torch.nn.Linear(8, 1024)
    down = torch.nn.Linear(1024, 1)
    with holding_less():
        widened = torch.nn.functional.gelu(up(torch.ones(2, 3, 8)))
        result = down(widened)
    gone = widened.untyped_storage()._weak_ref()
    del widened
    assert torch.UntypedStorage._expired(gone)
    result.sum().backward()
    assert up.weight.grad.any()


def test_what_no_backward_pass_goes_through_is_freed():
    with holding_less():
        unused = torch.tanh(torch.ones(3, requires_grad=True))
    gone = unused.untyped_storage()._weak_ref()
    del unused
    assert torch.UntypedStorage._expired(gone)
