import pytest
import torch

from hooktune.testing import tiny_model
from hooktune.training.held import HeldTensors
from hooktune.training.tokens import encoded_texts

TEXTS = ["apple bread", "mango " * 30, "violin piano cello"] * 40


def gradient_of(*, is_held: bool, scale: float = 1.0) -> torch.Tensor:
    """The gradient of all weights, one after the other."""
    model = tiny_model(layers=2).eval()
    features = encoded_texts(model, TEXTS, "document")
    with torch.no_grad():
        model[0].model.encoder.layer[0].intermediate.dense.weight *= scale
    with HeldTensors().holding() if is_held else torch.enable_grad():
        loss = (model(features)["sentence_embedding"] * torch.arange(1.0, 33)).sum()
    loss.backward()
    gradients = (weight.grad for weight in model.parameters() if weight.grad is not None)
    return torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize("scale", [1.0, 1e7], ids=["usual", "too large for half precision"])
def test_the_gradient_is_the_same_to_a_thousandth(scale: float):
    plain, held = (gradient_of(is_held=is_held, scale=scale) for is_held in (False, True))
    assert 0 < (plain - held).norm() < 1e-3 * plain.norm()


def test_what_is_held_in_half_precision_is_not_in_memory_as_it_was():
    layer, held = torch.nn.Linear(1024, 1), HeldTensors()
    first, second = (torch.nn.Linear(8, 1024)(torch.ones(2, 8, 8)) for _ in range(2))
    with held.holding():
        result = layer(first) + layer(second)
    gone = first.untyped_storage()._weak_ref()
    del first
    assert torch.UntypedStorage._expired(gone)
    result.sum().backward()
    torch.testing.assert_close(layer.bias.grad, torch.tensor([32.0]))


def test_a_step_overwrites_nothing_that_is_still_held():
    layer, held = torch.nn.Linear(1024, 1), HeldTensors()
    inputs = [torch.full((2, 8, 1024), float(value), requires_grad=True) * 1 for value in range(4)]
    losses = []
    for number, given in enumerate(inputs):
        with held.holding():
            losses.append(layer(given).sum())
        if number == 1:
            losses[0].backward()
    for loss in losses[1:]:
        loss.backward()
    # 16 rows of each number from 0 to 3.
    torch.testing.assert_close(layer.weight.grad, torch.full((1, 1024), 16.0 * 6))


def test_what_autocast_makes_of_a_weight_is_held_once_for_all_texts_of_a_step():
    layer, held, copies = torch.nn.Linear(8, 1024), HeldTensors(), []
    torch.nn.init.ones_(layer.weight)
    for value in (1.0, 2.0):
        losses = []
        for _ in range(3):
            given = torch.ones(4, 8, requires_grad=True)
            with torch.autocast("cpu", torch.bfloat16), held.holding():
                losses.append(layer(given).sum())
            copies.append(losses[-1].grad_fn.next_functions[0][0]._saved_mat2.data_ptr())
            losses[-1].backward(retain_graph=True)
            torch.testing.assert_close(given.grad, torch.full((4, 8), 1024 * value))
        # As an optimizer's step does; what was made of the weights before counts no longer.
        with torch.no_grad():
            layer.weight += 1
    assert len(set(copies[:3])) == len(set(copies[3:])) == 1


def test_a_weight_and_its_transpose_are_told_apart():
    weight = torch.randn(64, 64, requires_grad=True)
    gradients = []
    for context in (torch.enable_grad(), HeldTensors().holding()):
        given = torch.ones(4, 64, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16), context:
            (given @ weight + given @ weight.T).square().sum().backward()
        gradients.append(given.grad)
    torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-2)


def test_what_is_computed_again_is_not_in_memory_meanwhile():
    up = torch.nn.Linear(8, 1024)
    down = torch.nn.Linear(1024, 1)
    with HeldTensors().holding():
        widened = torch.nn.functional.gelu(up(torch.ones(2, 3, 8)))
        result = down(widened)
    gone = widened.untyped_storage()._weak_ref()
    del widened
    assert torch.UntypedStorage._expired(gone)
    result.sum().backward()
    assert up.weight.grad.any()


def test_what_no_backward_pass_goes_through_is_freed():
    with HeldTensors().holding():
        unused = torch.tanh(torch.ones(3, requires_grad=True))
    gone = unused.untyped_storage()._weak_ref()
    del unused
    assert torch.UntypedStorage._expired(gone)
