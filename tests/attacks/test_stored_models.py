"""Attacks on models that are stored: damaged, swapped, or not what was measured."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file
from tracked import begin, do_run, initial_run, model_folders, put_back, start_run

from hooktune import Runner
from hooktune.errors import HooktuneError
from hooktune.processes import scratch_folder, sweep_scratch
from hooktune.testing import tiny_model
from hooktune.tracking import RunRecord, Tracker
from hooktune.tracking.models import champions, loading
from hooktune.tracking.models.digests import CHECKSUMS
from hooktune.tracking.outbox.spool import RunSpool
from hooktune.tracking.records import MODEL_DIGEST_TAG

WEIGHTS = "model.sentence_transformer/model.safetensors"
CONFIG = "model.sentence_transformer/config.json"
POOLING = "model.sentence_transformer/1_Pooling/config.json"


def state(key: str, value: object, file: str = CONFIG) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        stated = json.loads((model / file).read_text())
        (model / file).write_text(json.dumps({**stated, key: value}))

    return change


def weigh(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def reweigh(model: Path) -> None:
        weights = {key: value.clone() for key, value in load_file(model / WEIGHTS).items()}
        change(weights)
        save_file(weights, model / WEIGHTS, {"format": "pt"})

    return reweigh


def flip_a_bit(model: Path) -> None:
    content = bytearray((model / WEIGHTS).read_bytes())
    content[-1000] ^= 1
    (model / WEIGHTS).write_bytes(content)


def cut(model: Path) -> None:
    content = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(content[: len(content) // 2])


def put_another(model: Path) -> None:
    tiny_model(seed=7)[0].auto_model.save_pretrained(model / "model.sentence_transformer")


def add_line(file: str, line: str) -> Callable[[Path], object]:
    return lambda model: (model / file).write_text((model / file).read_text() + line)


ANY_KEY = "encoder.layer.1.output.dense.weight"

# What is refused whether digests were recorded or not.
BROKEN: dict[str, Callable[[Path], object]] = {
    "half of the weights": cut,
    "no bytes of the weights": lambda model: (model / WEIGHTS).write_bytes(b""),
    "no weights": lambda model: (model / WEIGHTS).unlink(),
    "weights of zero bytes": lambda model: (model / WEIGHTS).write_bytes(bytes(100_000)),
    "a weight is missing": weigh(lambda weights: weights.pop(ANY_KEY)),
    "a weight has another name": weigh(lambda weights: weights.update(other=weights.pop(ANY_KEY))),
    "a weight is too much": weigh(
        lambda weights: weights.update({"other.weight": weights[ANY_KEY].clone()})
    ),
    "a weight has another shape": weigh(
        lambda weights: weights.update({ANY_KEY: weights[ANY_KEY].T.contiguous()})
    ),
    "a weight is no number": weigh(lambda weights: weights[ANY_KEY].fill_(np.nan)),
    "one number is infinite": weigh(lambda weights: weights[ANY_KEY][0].fill_(np.inf)),
    "one number is minus infinity": weigh(lambda weights: weights[ANY_KEY][1].fill_(-np.inf)),
    "a layer is missing": state("num_hidden_layers", 3),
    "a layer is too much": state("num_hidden_layers", 1),
    "another width": state("hidden_size", 64),
    "another width within": state("intermediate_size", 32),
    "another number of words": state("vocab_size", 50),
    "another architecture": state("model_type", "distilbert"),
    "settings of nothing": lambda model: (model / CONFIG).write_text("{}"),
    "no settings": lambda model: (model / CONFIG).unlink(),
    "a package to install": add_line("requirements.txt", "evil-package==1.0\n"),
    "a package by its address": add_line("requirements.txt", "torch @ https://somewhere/t.whl\n"),
    "another index of packages": add_line("requirements.txt", "--index-url http://somewhere\n"),
    "a package for conda": add_line("conda.yaml", "- evil\n"),
    "code to load": add_line("MLmodel", "  python_function: {loader_module: os}\n"),
    "no folder of weights": lambda model: shutil.rmtree(model / "model.sentence_transformer"),
}

# What only the digests tell.
CHANGED: dict[str, Callable[[Path], object]] = {
    "one bit of the weights": flip_a_bit,
    "the weights of another model": put_another,
    "weights of zero": weigh(lambda weights: weights[ANY_KEY].zero_()),
    "another activation": state("hidden_act", "relu"),
    "other heads": state("num_attention_heads", 4),
    "another norm": state("layer_norm_eps", 0.5),
    "another pooling": state("pooling_mode", "max", POOLING),
    "an added file": lambda model: (model / "notes.txt").write_text("hello"),
    "a missing file": lambda model: (model / "model.sentence_transformer/README.md").unlink(),
    "another description": add_line("MLmodel", "# hello\n"),
    "an edited list of digests": add_line(CHECKSUMS, f"{'0' * 64}  other\n"),
    "a list of digests that is none": lambda model: (model / CHECKSUMS).write_text("hello"),
    "no list of digests": lambda model: (model / CHECKSUMS).unlink(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A store with an initial model."""
    folder = tmp_path_factory.mktemp("stored")
    shutil.copy(empty_store, folder / "mlflow.db")
    initial_run(Tracker(f"sqlite:///{folder / 'mlflow.db'}"))
    return folder


@pytest.fixture
def tracker(folder: Path) -> Iterator[Tracker]:
    with put_back(folder):
        yield Tracker(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture
def run(tracker: Tracker) -> RunRecord:
    return initial_run(tracker)


@pytest.fixture
def files(run: RunRecord, tracker: Tracker) -> Path:
    return model_folders(tracker)[0] / "artifacts"


@pytest.mark.parametrize("damage", [*BROKEN, *CHANGED])
def test_a_stored_model_that_changed_is_neither_loaded_nor_promoted_nor_exported(
    damage: str, tracker: Tracker, run: RunRecord, files: Path, tmp_path: Path
):
    {**BROKEN, **CHANGED}[damage](files)
    with pytest.raises(HooktuneError, match=f"model of run {run.run_id}.* is (not|refused)"):
        tracker.load_model(run, "cpu")
    with pytest.raises(HooktuneError, match=run.run_id):
        champions.register_champion(tracker.client, "A Method", run, None, {}, "")
    with pytest.raises(HooktuneError, match=run.run_id):
        tracker.export_model(run, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
    assert champions.find_champion(tracker.client, "A Method") is None


@pytest.fixture
def old_run(tracker: Tracker, run: RunRecord, files: Path) -> RunRecord:
    """The run as it was when no digests were recorded."""
    (files / CHECKSUMS).unlink()
    tracker.client.delete_tag(run.run_id, MODEL_DIGEST_TAG)
    return tracker.run(run.run_id)


def test_without_digests_a_whole_model_is_loaded(tracker: Tracker, old_run: RunRecord):
    assert tracker.load_model(old_run, "cpu").encode("apple").shape == (32,)


@pytest.mark.parametrize("damage", BROKEN)
def test_without_digests_a_broken_model_is_still_not_loaded(
    damage: str, tracker: Tracker, old_run: RunRecord, files: Path
):
    BROKEN[damage](files)
    with pytest.raises(HooktuneError, match=old_run.run_id):
        tracker.load_model(old_run, "cpu")


def test_a_champion_that_was_damaged_is_not_served(tracker: Tracker, run: RunRecord, files: Path):
    champion = champions.register_champion(tracker.client, "A Method", run, None, {}, "")
    assert champions.load_version(tracker.client, champion, "cpu").encode("apple").shape == (32,)
    flip_a_bit(files)
    with pytest.raises(HooktuneError, match=r"version 1 .*safetensors' is not the file"):
        champions.load_version(tracker.client, champion, "cpu")


def test_an_upload_that_arrives_damaged_leaves_the_best_model_as_it_was(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
):
    iteration = begin(tracker)
    good = do_run(tracker, iteration, 0.1)
    better = start_run(tracker, iteration, 0.2)
    upload = MlflowClient.log_model_artifacts

    def upload_damaged(client: MlflowClient, model_id: str, folder: str) -> None:
        upload(client, model_id, folder)
        (arrived,) = (place for place in model_folders(tracker) if place.name == model_id)
        flip_a_bit(arrived / "artifacts")

    monkeypatch.setattr(MlflowClient, "log_model_artifacts", upload_damaged)
    with pytest.raises(HooktuneError, match="is not the file that was uploaded"):
        tracker.keep_if_best(better, tiny_model(), 1)
    assert tracker.runs_with_model(iteration) == {good.run_id}
    assert len(model_folders(tracker)) == 2  # with the initial one
    assert tracker.load_model(tracker.run(good.run_id), "cpu").encode("apple").shape == (32,)


def test_a_model_that_waits_for_the_store_is_not_delivered_once_it_is_damaged(tmp_path: Path):
    spool = RunSpool(tmp_path / "run-1")
    spool.keep_model(tiny_model())
    assert spool.load_model().encode("apple").shape == (32,)
    weights = tmp_path / "run-1/model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(HooktuneError, match="is not the file that was uploaded"):
        spool.load_model()
    spool.release()


# Swapped while they are loaded

SWAPS: dict[str, Callable[[Path], object]] = {
    "code": state("auto_map", {"AutoModel": "x.Y"}),
    "a kernel": state("_attn_implementation", {"": "somebody/kernel"}),
    "a file of Python": lambda model: (model / "x.py").write_text("print('hello')"),
    "a link": lambda model: (model / "link.json").symlink_to("/etc/hostname"),
    "the weights": put_another,
    "a pickle": lambda model: (model / "pytorch_model.bin").write_bytes(b"\x80\x04N."),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_what_is_swapped_after_the_first_look_is_refused(
    swap: str, tracker: Tracker, run: RunRecord, files: Path, monkeypatch: pytest.MonkeyPatch
):
    looks, look = [], loading.problem_of_folder

    def look_and_swap(folder: Path) -> str | None:
        problem = look(folder)
        if not looks:
            SWAPS[swap](files)
        looks.append(folder)
        return problem

    monkeypatch.setattr(loading, "problem_of_folder", look_and_swap)
    with pytest.raises(HooktuneError, match=run.run_id):
        tracker.load_model(run, "cpu")


@pytest.mark.parametrize("swap", SWAPS)
def test_what_is_swapped_after_the_last_look_is_not_what_is_loaded(
    swap: str, tracker: Tracker, run: RunRecord, files: Path, monkeypatch: pytest.MonkeyPatch
):
    check = loading.problem_of_digests
    monkeypatch.setattr(
        loading, "problem_of_digests", lambda *given: (check(*given), SWAPS[swap](files))[0]
    )
    model = tracker.load_model(run, "cpu")
    np.testing.assert_allclose(model.encode("apple"), tiny_model().encode("apple"), atol=1e-5)


def test_links_that_others_laid_among_the_temporary_files_lead_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir(mode=0o1777)
    own.mkdir()
    (own / "letter.txt").write_text("dear")
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    with scratch_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        name = folder.name
    gone = name.split("-")
    for number, process in enumerate(("1", "999999", gone[2])):
        link = "-".join([gone[0], gone[1], process, "deadbeef", f"abc{number}"])
        (shared / link).symlink_to(own, target_is_directory=True)
    (shared / name).symlink_to(own, target_is_directory=True)
    inner = shared / "-".join([gone[0], gone[1], "999999", "deadbeef", "abcd"])
    inner.mkdir()
    (inner / "link").symlink_to(own, target_is_directory=True)
    sweep_scratch()
    assert (own / "letter.txt").read_text() == "dear"
    assert not inner.exists()


# What is stored is what was measured

TRICKSTER = """
from typing import Annotated
from pydantic import BaseModel, ConfigDict
from hooktune import SearchChoices, hookimpl
NAME = "Trickster"
TRICKS = "a forward hook", "a hook within", "a replaced method"

class Params(BaseModel):
    model_config = ConfigDict(frozen=True)
    trick: Annotated[str, SearchChoices(TRICKS)] = TRICKS[0]

@hookimpl
def hyper_parameters():
    return Params

@hookimpl
def fit_batch(run, model, params):
    def shift(module, given, features):
        for key in ("sentence_embedding", "token_embeddings"):
            if key in features:
                features[key] = features[key] + 1.0
        return features
    run.log({"train_loss": 1.0}, 1)
    if params.trick == "a replaced method":
        inner = model.forward
        model.forward = lambda *given, **named: shift(None, None, inner(*given, **named))
    else:
        tricked = model if params.trick == "a forward hook" else model[0]
        tricked.register_forward_hook(shift)
    return model
"""


def test_a_model_that_scores_by_what_is_not_stored_is_no_best_one(
    store_uri: str, tmp_path: Path, released_batch: Path, tiny_model_folder: Path
):
    method = tmp_path / "trickster.py"
    method.write_text(TRICKSTER)
    result = Runner(store_uri).run(
        str(method), released_batch, initial_model=str(tiny_model_folder), device="cpu", max_runs=3
    )
    assert len({run.params["trick"] for run in result.runs}) == 3
    for run in result.runs:
        assert run.status == "FAILED"
        assert "'Trickster' returned is not the one that is stored of it" in run.failure
    assert result.best is None
    assert len(model_folders(Tracker(store_uri))) == 1
