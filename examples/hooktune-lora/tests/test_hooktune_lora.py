import hooktune_lora

from hooktune.testing import check_method, tiny_model


def test_it_keeps_the_contract_of_a_method():
    check_method(hooktune_lora)


def test_adapters_alone_are_trained():
    model = tiny_model()
    hooktune_lora.add_adapters(model, hooktune_lora.Params(rank=2), seed=0)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
