"""A team tunes a model that becomes better on the whole, and worse in one market."""

import random

import pytest
from log_writers import write_json_lines

from hooktune import Runner, release_batch
from hooktune.cli import main
from hooktune.evaluation.report.report import REPORT_FILE
from hooktune.tracking.artifacts import read_artifact

WORDS = 4
QUERIES = [*((f"us{number}", "US") for number in range(90)),
           *((f"de{number}", "DE") for number in range(24))]  # fmt: skip
TURNER = '''
"""Brings the words of American items to those of queries, and German ones away from them."""

import torch
from hooktune import hookimpl

NAME = "Turner"


@hookimpl
def upload_initial_model():
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = [f"{kind}{market}{number}" for market in ("us", "de") for number in range(90)
             for kind in ("", "item")]
    vocabulary = {"unknown": 0} | {word: place for place, word in enumerate(words, start=1)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="unknown"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    table = StaticEmbedding(tokenizer, embedding_dim=16)
    model = SentenceTransformer(modules=[table], device="cpu")
    weight = model[0].embedding.weight
    with torch.no_grad():
        weight[2::2] = weight[1::2] + 4 * torch.randn_like(weight[1::2])
    return model


@hookimpl
def fit_batch(run, model):
    weight = model[0].embedding.weight
    with torch.no_grad():
        weight[2:181:2] = weight[1:181:2]
        weight[182::2] = -weight[181::2]
    return model
'''


@pytest.fixture
def batch(tmp_path):
    """A market's queries show four of its items, of which the one with their number is clicked."""
    draw = random.Random(0)
    sessions = []
    for query, market in QUERIES:
        names = [name for name, where in QUERIES if where == market and name != query]
        shown = [query, *draw.sample(names, WORDS - 1)]
        draw.shuffle(shown)
        sessions.append(
            {"session_id": f"{market} {query}", "search_query": query, "market": market,
             "search_results": [{"object_id": f"item{name}"} for name in shown],
             "events": [{"object_id": f"item{query}"}], "site": {"is_new": draw.random() < 0.5}}
        )  # fmt: skip
    log = write_json_lines(tmp_path / "log", sessions)
    items = write_json_lines(
        tmp_path / "items",
        ({"object_id": f"item{query}", "text": f"item{query}"} for query, _ in QUERIES),
    )
    release_batch(log, items, tmp_path / "batch", labels=["market", "site.is_new"])
    return tmp_path / "batch"


def test_the_market_that_became_worse_is_told_and_no_other(tmp_path, batch, store_uri, capsys):
    file = tmp_path / "turner.py"
    file.write_text(TURNER)
    runner = Runner(store_uri)
    result = runner.run(str(file), batch, device="cpu", max_runs=1, test_ratio=0.5)
    (run,) = result.runs
    assert result.best is not None, "on the whole it is better"
    told = {
        found.name: found.verdict for found in runner.slices(run) if "ndcg" in found.metric.name
    }
    assert told.pop("where market is US") == "better"
    assert told.pop("where market is DE") == "worse"
    assert told.keys() == {"where site.is_new is true", "where site.is_new is false"}
    assert "is worse for queries where market is DE (test_" in run.warning
    assert not any(other in run.warning for other in ("market is US", "is_new"))
    with pytest.raises(SystemExit):
        main(["--tracking-uri", store_uri, "runs", f"iteration / Turner / {run.batch_id}"])
    assert "is worse for queries where market is DE" in capsys.readouterr().out
    page = read_artifact(runner.tracker.client, run.run_id, REPORT_FILE)
    assert b"where market is DE" in page
