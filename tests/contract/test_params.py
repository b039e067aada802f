"""A method that derives its hyper-parameters from those of the training loop."""

import pytest
from pydantic import ValidationError

from hooktune import SearchRange, TrainingParams
from hooktune.contract.search_space import search_mark


class Params(
    TrainingParams,
    defaults={"epochs": 3},
    search={"epochs": SearchRange(1, 5), "learning_rate": None},
):
    scale: float = 1.0


def test_another_default_keeps_the_rest_of_its_field():
    assert Params().epochs == 3
    assert TrainingParams().epochs == 1
    field, original = Params.model_fields["epochs"], TrainingParams.model_fields["epochs"]
    assert field.description == original.description
    with pytest.raises(ValidationError):
        Params(epochs=0)
    assert search_mark(field) == SearchRange(1, 5)
    assert search_mark(Params.model_fields["learning_rate"]) is None
    assert search_mark(TrainingParams.model_fields["learning_rate"]) is not None


def test_a_further_subclass_goes_on_from_there():
    class Further(Params, defaults={"scale": 2.0}):
        pass

    assert (Further().epochs, Further().scale, Params().scale) == (3, 2.0, 1.0)


def test_a_wrong_default_is_refused_where_the_class_is_made():
    with pytest.raises(TypeError, match=r"no field 'epoch'\. Did you mean 'epochs'"):

        class Misspelt(TrainingParams, defaults={"epoch": 2}):
            pass

    with pytest.raises(ValidationError, match="epochs"):

        class OutOfBounds(TrainingParams, defaults={"epochs": 0}):
            pass
