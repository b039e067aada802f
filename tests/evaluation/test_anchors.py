"""What can be had without tuning, measured as models are."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import hooktune_default
import hooktune_metrics
from hooktune.cli import cli
from hooktune.contract.sessions import Batch
from hooktune.contract.settings import IterationSettings
from hooktune.data.judgements import Judgements
from hooktune.evaluation import anchors as module
from hooktune.evaluation.anchors import measure_anchors
from hooktune.evaluation.judged import judged_queries
from hooktune.evaluation.lexical import Bm25
from hooktune.plugin.checks import Plugin
from hooktune.plugin.host import Host
from hooktune.testing import made_up_sessions, tiny_model


@pytest.fixture(scope="module")
def host() -> Host:
    extension = Plugin("metrics", "extension", hooktune_metrics)
    return Host(Plugin("M", "method", hooktune_default), [extension])


def test_anchors_rank_by_words_by_both_and_as_shown(host: Host, monkeypatch):
    model, sessions = tiny_model(), made_up_sessions(sessions=60, queries=20)
    batch, settings = Batch("0" * 24, sessions, sessions.items), IterationSettings(test_ratio=0.5)
    judged = judged_queries(
        Judgements({"asked by nobody": {sessions.items[3].as_py(): 1.0}}, is_qrels=False),
        batch,
        settings.split(sessions),
    )
    monkeypatch.setattr(module, "_SCORES_AT_ONCE", 3 * len(sessions.items))
    found = measure_anchors(host, batch, settings, model, judged)
    shown, bm25, hybrid = (anchor.metrics for anchor in found)
    assert [anchor.name for anchor in found] == ["shown order", "BM25", "BM25 + starting model"]
    assert shown.keys() == {"test_ndcg_at_10", "test_mrr"}
    assert bm25.keys() == hybrid.keys() > {*shown, "judged_ndcg_at_10"}

    # Each by hand: the reciprocal rank of each clicked test session.
    words = Bm25(sessions.items.to_pylist()).scores(sessions.queries.to_pylist())
    queries = model.encode_query(sessions.queries.to_pylist(), normalize_embeddings=True)
    items = model.encode_document(sessions.items.to_pylist(), normalize_embeddings=True)
    z_scores = [
        (scores - scores.mean(1, keepdims=True)) / np.maximum(scores.std(1, keepdims=True), 1e-9)
        for scores in (words, queries @ items.T)
    ]
    test = sessions.take(settings.split(sessions).test)
    for metrics, scores in ((bm25, words), (hybrid, sum(z_scores))):
        inverse = []
        for place in np.flatnonzero(test.not_irrelevant):
            results = slice(*test.offsets[place : place + 2])
            clicked = test.item_index[results][test.clicked[results]]
            order = np.argsort(-scores[test.query_index[place]], kind="stable")
            inverse.append(1 / (1 + np.isin(order, clicked).argmax()))
        assert metrics["test_collection_mrr_at_100"] == pytest.approx(np.mean(inverse), abs=1e-6)
    first_click = [
        test.positions[slice(*test.offsets[place : place + 2])][
            test.clicked[slice(*test.offsets[place : place + 2])]
        ].min()
        for place in np.flatnonzero(test.not_irrelevant)
    ]
    assert shown["test_mrr"] == pytest.approx(np.mean(1 / np.array(first_click)))


METHOD = """
from hooktune import hookimpl

NAME = "Idle"

@hookimpl
def fit_batch(model):
    return model
"""


def test_compare_shows_them_beside_the_methods(
    store_uri: str, make_batch, tmp_path: Path, tiny_model_folder: Path
):
    batch, method = make_batch(), tmp_path / "idle.py"
    method.write_text(METHOD)

    def hooktune(*arguments: object):
        given = ["--tracking-uri", store_uri, *map(str, arguments)]
        return CliRunner().invoke(cli, given, catch_exceptions=False)

    ran = hooktune("run", method, batch, "--device", "cpu", "--initial-model", tiny_model_folder)
    assert ran.exit_code == 0, ran.output
    table = hooktune("compare", batch, "--baselines")
    assert [line for line in table.stdout.splitlines() if "BM25 + starting model" in line]
    read = json.loads(hooktune("compare", batch, "--baselines", "--json").stdout)
    assert [each["method"] for each in read["baselines"]][:2] == ["shown order", "BM25"]
    assert 0 < read["baselines"][1]["test_collection_ndcg_at_10"] <= 1
    assert json.loads(hooktune("compare", batch, "--json").stdout)["baselines"] == []
