"""From pictures that were clicked to a CLIP that finds others."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from log_writers import write_json_lines
from pictures import COLOURS, SHAPES, picture, session, tiny_clip
from torch.nn.functional import normalize

from hooktune import RequestError, Runner, image_text, open_batch, release_batch
from hooktune.cli import cli
from hooktune.tracking.models.loading import load_folder
from hooktune.tracking.models.safe_files import problem_of_folder
from hooktune.training.encoder import TextEncoder
from hooktune.training.scoring import score_results
from hooktune_query_map.evidence import gather_evidence
from hooktune_query_map.router import put_map

KINDS = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
PARAMS = {
    "epochs": 10, "frozen_layers": 0, "learning_rate": 0.003, "weights_kept": 1, "attraction": 0.02,
}  # fmt: skip


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    tiny_clip().save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> Path:
    """Searches by words, and by a picture for one like it, whose clicks are on what is meant."""
    folder = tmp_path_factory.mktemp("pictures")
    names = [f"{kind}-{place}" for kind in KINDS for place in range(3)]
    for name in names:
        kind, place = name.split("-")
        (folder / f"{name}.png").write_bytes(picture(*kind.split(), int(place) * 5))
    items = [{"object_id": name, "image": f"{name}.png", "text": ""} for name in names]
    random, sessions = np.random.default_rng(0), []
    queries = {kind: kind for kind in KINDS}
    queries |= {
        image_text(picture(*kind.split(), place=15)): kind for kind in KINDS[::8]
    }  # fmt: skip
    for query, kind in queries.items():
        for _ in range(5):
            meant = [f"{kind}-{place}" for place in random.choice(3, 2, replace=False)]
            others = [n for n in random.choice(names, 8, replace=False) if n.split("-")[0] != kind]
            shown = [str(name) for name in random.permutation(meant + others)]
            sessions.append(session(len(sessions), query, shown, meant))
    log = write_json_lines(folder / "log.jsonl", sessions)
    items_file = write_json_lines(folder / "items.jsonl", items)
    manifest = release_batch(log, items_file, folder / "batch", image="image")
    assert (manifest.images.queries, manifest.images.items) == (3, 72)
    return folder / "batch"


def test_a_clip_that_is_tuned_on_clicks_ranks_held_out_queries_better(
    batch, clip_folder, store_uri
):
    runner = Runner(store_uri)
    result = runner.run(
        "Default Fine Tuning Method", batch, params=PARAMS, initial_model=str(clip_folder),
        max_runs=1, test_ratio=0.35, device="cpu",
    )  # fmt: skip
    assert result.best is not None, result.runs[0].failure
    ranking = result.best.intervals["test_ndcg_at_10"]
    assert ranking.queries >= 8
    assert ranking.low > 0
    over_all = "test_collection_ndcg_at_10"
    before = result.iteration.starting_metrics[over_all]
    assert result.best.metrics[over_all] > before + 0.3
    tuned = result.load_model("cpu")
    red, black = tuned.encode_query(["red square", "black square"], normalize_embeddings=True)
    found = tuned.encode_document([image_text(picture("red", "square"))])[0]
    assert red @ found > black @ found


def test_a_query_map_moves_images_that_are_queries_and_leaves_those_that_are_items(batch):
    clip, sessions = tiny_clip(), open_batch(batch).sessions
    evidence = gather_evidence(TextEncoder(clip).reader(clip.eval()), sessions)
    assert evidence.queries.shape == (27, 32)
    assert evidence.items.shape == (72, 32)
    mapped = deepcopy(clip)
    matrix = torch.eye(32) + 0.3 * torch.randn(32, 32, generator=torch.manual_seed(0))
    put_map(mapped, matrix)
    moved, items = normalize(evidence.queries @ matrix, dim=1).numpy(), evidence.items.numpy()
    rows = np.searchsorted(evidence.targets.query_index, sessions.query_index)
    expected = (moved[rows[sessions.session_index]] * items[sessions.item_index]).sum(1)
    np.testing.assert_allclose(score_results(mapped, sessions), expected, atol=1e-5)


def test_a_model_of_texts_is_refused_before_anything_is_encoded(
    batch, tiny_model_folder, store_uri
):
    with pytest.raises(RequestError, match="75 queries or items of the batch are images") as raised:
        Runner(store_uri).run(
            "Default Fine Tuning Method", batch, initial_model=str(tiny_model_folder), device="cpu"
        )
    assert "sentence-transformers/clip-ViT-B-32" in str(raised.value)


def test_a_dry_run_times_images_too(batch, clip_folder, store_uri):
    command = [
        "--tracking-uri", store_uri, "run", "Default Fine Tuning Method", str(batch),
        "--initial-model", str(clip_folder), "--dry-run", "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)


def test_the_folder_of_a_clip_as_the_hub_has_it_is_safe(clip_folder, tmp_path):
    assert problem_of_folder(clip_folder) is None
    older = tmp_path / "0_CLIPModel"
    older.mkdir()
    for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (older / file).write_bytes((clip_folder / file).read_bytes())
    processor = json.loads((clip_folder / "processor_config.json").read_text())["image_processor"]
    processor |= {"feature_extractor_type": "CLIPFeatureExtractor"}
    (older / "preprocessor_config.json").write_text(json.dumps(processor))
    module = {
        "idx": 0, "name": "0", "path": "0_CLIPModel",
        "type": "sentence_transformers.models.CLIPModel",
    }  # fmt: skip
    (tmp_path / "modules.json").write_text(json.dumps([module]))
    own = {"__version__": {"sentence_transformers": "2.0.0", "transformers": "4.7.0"}}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(own))
    assert problem_of_folder(tmp_path) is None
    assert load_folder(tmp_path, "a test", "cpu").modalities == ["text", "image"]
