"""The mean of models that were tuned from one, and what is kept of each of them until then."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hooktune.errors import DifferentShapesError, HooktuneError
from hooktune.testing import tiny_model
from hooktune.tracking.models.loading import load_folder
from hooktune.training.mean_model import Part, write_changes, write_mean

TUNED = "encoder.layer.1.output.dense.weight"


@pytest.fixture
def start(tmp_path: Path) -> Path:
    return saved(tiny_model(), tmp_path / "start")


@pytest.fixture
def tune(start: Path, tmp_path: Path):
    """Returns what is kept of a copy of the model whose weights were moved in one place."""
    model = load_folder(start, "the test", "cpu")

    def tuned(name: str, by: float, change=lambda model: model) -> Path:
        own = copy.deepcopy(model)
        with torch.no_grad():
            own[0].model.get_parameter(TUNED).add_(by)
        change(own)
        write_changes(start, saved(own, tmp_path / name), tmp_path / "kept" / name)
        return tmp_path / "kept" / name

    return tuned


def saved(model, folder: Path) -> Path:
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def test_the_mean_of_two_models_is_right_to_the_last_bit(start: Path, tune, tmp_path: Path):
    kept = [tune("one", 0.1), tune("two", 0.7)]
    write_mean(start, [Part(folder) for folder in kept], tmp_path / "mean")

    before = load_file(start / "model.safetensors")
    one, two = (load_file(tmp_path / name / "model.safetensors")[TUNED] for name in ("one", "two"))
    mean = load_file(tmp_path / "mean" / "model.safetensors")
    assert mean.keys() == before.keys()
    assert torch.equal(mean[TUNED], ((one.double() + two.double()) / 2).float())
    assert all(torch.equal(mean[name], before[name]) for name in before.keys() - {TUNED})
    assert load_folder(tmp_path / "mean", "the test", "cpu").encode("a text").shape == (32,)


def test_only_what_training_has_changed_is_kept(tune):
    kept = tune("one", 0.1)
    files = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())
    assert files == ["files/model.safetensors", "shape.json"]
    assert load_file(kept / "files" / "model.safetensors").keys() == {TUNED}


def test_a_mean_counts_as_the_models_that_it_was_made_of(start: Path, tune, tmp_path: Path):
    one, two, three = (tune(name, by) for name, by in (("1", 0.1), ("2", 0.2), ("3", 0.6)))
    write_mean(start, [Part(one), Part(two)], tmp_path / "of two")
    write_changes(start, tmp_path / "of two", tmp_path / "kept" / "of two")
    write_mean(start, [Part(tmp_path / "kept" / "of two", 2), Part(three)], tmp_path / "more")
    write_mean(start, [Part(one), Part(two), Part(three)], tmp_path / "of three")
    more, at_once = (
        load_file(tmp_path / name / "model.safetensors")[TUNED] for name in ("more", "of three")
    )
    assert torch.allclose(more, at_once, atol=1e-7)


def test_modules_that_a_method_has_added_are_averaged_too(start: Path, tune, tmp_path: Path):
    from sentence_transformers.base.modules import Dense

    def add(weight: float):
        def change(model):
            dense = Dense(32, 8, bias=False, activation_function=torch.nn.Identity())
            torch.nn.init.constant_(dense.linear.weight, weight)
            model.append(dense)

        return change

    parts = [Part(tune("one", 0.0, add(1.0))), Part(tune("two", 0.0, add(2.0)))]
    write_mean(start, parts, tmp_path / "mean")
    mean = load_folder(tmp_path / "mean", "the test", "cpu")
    assert mean.get_embedding_dimension() == 8
    assert mean[-1].linear.weight.unique().tolist() == [1.5]


def test_models_that_are_not_made_alike_have_no_mean(start: Path, tune, tmp_path: Path):
    def cut(model):
        model.truncate_dim = 7

    def whole_numbers(folder: Path, number: int) -> Path:
        save_file({"count": torch.tensor([number])}, folder / "more.safetensors")
        write_changes(start, folder, tmp_path / "kept" / f"whole {number}")
        return tmp_path / "kept" / f"whole {number}"

    one = tune("one", 0.1)
    with pytest.raises(
        DifferentShapesError, match=r"they differ in config_sentence_transformers\.json"
    ):
        write_mean(start, [Part(one), Part(tune("two", 0.1, cut))], tmp_path / "mean")
    counts = [Part(whole_numbers(tmp_path / "one", number)) for number in (1, 2)]
    with pytest.raises(DifferentShapesError, match="'count', which has no mean"):
        write_mean(start, counts, tmp_path / "mean")


def test_a_starting_model_that_is_saved_in_other_words_is_the_same(
    start: Path, tune, tmp_path: Path
):
    again = shutil.copytree(start, tmp_path / "again")
    tuned = saved(load_folder(start, "the test", "cpu"), tmp_path / "loaded")
    for folder in (again, tuned):
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps(config | {"is_local": "x"}))
    write_changes(again, tuned, tmp_path / "kept" / "other")
    write_mean(
        start, [Part(tune("one", 0.1)), Part(tmp_path / "kept" / "other")], tmp_path / "mean"
    )
    assert (tmp_path / "mean" / "tokenizer_config.json").read_bytes() == (
        start / "tokenizer_config.json"
    ).read_bytes()


def test_weights_that_are_no_numbers_are_not_kept(tune):
    with pytest.raises(HooktuneError, match="no finite numbers"):
        tune("one", float("nan"))


def test_kinds_and_sizes_tell_the_shape(tune):
    shape = json.loads((tune("one", 0.1) / "shape.json").read_text())
    assert shape["model.safetensors"][TUNED] == "torch.float32 [32, 64]"
