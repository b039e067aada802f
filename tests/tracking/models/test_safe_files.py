"""Models that were tampered with are refused before anything of them is loaded."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.normalize import Normalize
from tracked import METHOD, initial_run, model_folders

from hooktune.errors import UnsafeModelError
from hooktune.testing import tiny_model
from hooktune.tracking import Tracker
from hooktune.tracking.models.safe_files import problem_of_folder, problem_of_names


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def model(tmp_path: Path, tiny_model_folder: Path) -> Path:
    return shutil.copytree(tiny_model_folder, tmp_path / "model")


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rename_module(folder: Path, kind: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(modules))


def move_module(folder: Path, path: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))


def test_a_model_as_it_was_saved_is_safe(model: Path):
    assert problem_of_folder(model) is None


TAMPERINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link out of the folder": (
        lambda model: (model / "vocab.txt").symlink_to("/etc/hostname"),
        "'vocab.txt' is a link",
    ),
    "a linked folder": (
        lambda model: (model / "2_Dense").symlink_to("/tmp", target_is_directory=True),
        "'2_Dense' is a link",
    ),
    "a pipe": (lambda model: os.mkfifo(model / "a.json"), "neither a file nor a folder"),
    "Python code": (
        lambda model: (model / "modeling_x.py").write_text("print('hello')"),
        "'modeling_x.py' is no file of a kind",
    ),
    "a description of stock MLflow elsewhere": (
        lambda model: (model / "1_Pooling" / "MLmodel").write_text(""),
        "is no file of a kind",
    ),
    "a pickle under another name": (
        lambda model: (model / "vocab.txt").write_bytes(pickle.dumps([1])),
        "'vocab.txt' does not hold what",
    ),
    "weights that are none": (
        lambda model: torch.save({}, model / "model.safetensors"),
        "'model.safetensors' does not hold what",
    ),
    "shards that are pickles": (
        lambda model: (model / "pytorch_model.bin.index.json").write_text(
            json.dumps({"weight_map": {"a": "vocab.txt"}})
        ),
        "weights that are not safetensors",
    ),
    "a module of somebody else": (
        lambda model: rename_module(model, "os.path.Pooling"),
        "'os.path.Pooling', which is not one of sentence-transformers' own",
    ),
    "what a module has imported": (
        lambda model: rename_module(model, "sentence_transformers.base.model.pickle"),
        "not one of sentence-transformers' own",
    ),
    "a module outside": (lambda model: move_module(model, "../other"), "leads out of"),
    "an absolute module": (lambda model: move_module(model, "/tmp"), "leads out of"),
    "modules that are none": (
        lambda model: (model / "modules.json").write_text('{"a": 1}'),
        "does not hold what",
    ),
    "JSON without an end": (
        lambda model: (model / "config.json").write_text("[" * 100_000),
        "does not hold what",
    ),
    "a configuration that brings code": (
        lambda model: change(model / "config.json", auto_map={"AutoModel": "x.Y"}),
        "sets 'auto_map'",
    ),
    "trust in code": (
        lambda model: change(
            model / "sentence_bert_config.json", model_args={"trust_remote_code": True}
        ),
        "sets 'trust_remote_code'",
    ),
    "unpickling asked for": (
        lambda model: change(
            model / "sentence_bert_config.json", model_args={"weights_only": False}
        ),
        "sets 'weights_only'",
    ),
    "code of the hub": (
        lambda model: change(model / "config.json", _attn_implementation="somebody/kernel"),
        "sets '_attn_implementation'",
    ),
    "an adapter of another model": (
        lambda model: (model / "adapter_config.json").write_text(
            json.dumps({"base_model_name_or_path": "somebody/model"})
        ),
        "sets 'base_model_name_or_path'",
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_folder_that_was_tampered_with_is_not_safe(tampering: str, model: Path):
    tamper, problem = TAMPERINGS[tampering]
    tamper(model)
    assert problem in problem_of_folder(model)


@pytest.mark.parametrize("name", ["a/../../b.json", "/etc/b.json", "..\\b.json", "C:b.json"])
def test_a_path_that_leads_out_is_not_safe(name: str):
    assert "leads out of" in problem_of_names([name])


def test_any_word_may_be_in_a_vocabulary(model: Path):
    vocabulary = {"auto_map": 1, "..": 2, "trust_remote_code": 3}
    (model / "vocab.json").write_text(json.dumps(vocabulary))
    change(model / "1_Pooling" / "config.json", word_weights={"subfolder": 0.5})
    assert problem_of_folder(model) is None


@pytest.mark.parametrize("beside", [True, False], ids=["beside weights", "instead of weights"])
def test_a_malicious_pickle_is_refused_and_not_executed(
    beside: bool, store_uri: str, mark: Path, tmp_path: Path
):
    tracker = Tracker(store_uri)
    run = initial_run(tracker)
    weights = model_folders(tracker)[0] / "artifacts" / "model.sentence_transformer"
    (weights / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(mark)))
    if not beside:
        (weights / "model.safetensors").unlink()

    with pytest.raises(UnsafeModelError, match=rf"run {run.run_id}.*pytorch_model\.bin"):
        tracker.load_model(run, "cpu")
    with pytest.raises(UnsafeModelError, match="nothing of it was loaded"):
        tracker.export_model(run, tmp_path / "exported")
    assert not mark.exists()
    assert not (tmp_path / "exported").exists()


def test_what_stock_mlflow_would_run_is_refused_too(store_uri: str):
    tracker = Tracker(store_uri)
    run = initial_run(tracker)
    description = model_folders(tracker)[0] / "artifacts" / "MLmodel"
    text = description.read_text()
    description.write_text(text.replace("mlflow.sentence_transformers", "antigravity"))
    with pytest.raises(UnsafeModelError, match="names code of its own"):
        tracker.load_model(run, "cpu")
    description.write_text(text.replace("code: null", "code: code"))
    with pytest.raises(UnsafeModelError, match="names code of its own"):
        tracker.load_model(run, "cpu")
    description.write_text(text)
    assert tracker.load_model(run, "cpu").encode("apple").shape == (32,)


class Foreign(Normalize):
    """A module that only its own package can load."""


def test_a_model_that_could_not_be_loaded_again_is_not_stored(store_uri: str):
    model = SentenceTransformer(modules=[*tiny_model(), Foreign()], device="cpu")
    tracker = Tracker(store_uri)
    with pytest.raises(UnsafeModelError, match="not one of sentence-transformers' own"):
        tracker.upload_initial_model(METHOD, model, {})
    assert model_folders(tracker) == []
    assert tracker.initial_run(METHOD) is None
