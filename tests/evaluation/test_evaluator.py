"""Measuring a model on fixed sessions, against what was before."""

import json

import numpy as np
import pytest

import hooktune_default
import hooktune_metrics
from hooktune.evaluation.evaluator import Evaluation, Evaluator
from hooktune.plugin.checks import Plugin
from hooktune.plugin.host import Host
from hooktune.testing import made_up_sessions, tiny_model
from hooktune.training.encoder import TextEncoder
from hooktune.training.scoring import score_results


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def evaluator(model) -> Evaluator:
    extension = Plugin("metrics", "extension", hooktune_metrics)
    host = Host(Plugin("M", "method", hooktune_default), [extension])
    sessions = made_up_sessions()
    return Evaluator(host, sessions, score_results(model, sessions), TextEncoder(model))


def test_a_model_that_was_not_tuned_has_not_shifted(evaluator: Evaluator, model):
    assert evaluator(model)["test_not_irrelevant_dist_shift"] == 0
    raised = evaluator.of_scores(model, evaluator.baseline + 0.25, lambda *_: 3.0)
    assert raised["test_not_irrelevant_dist_shift"] == pytest.approx(0.25, abs=1e-6)
    assert raised["test_loss"] == 3.0


def test_what_was_measured_outlives_a_process_as_json(evaluator: Evaluator, model):
    measured = evaluator.in_full(model, evaluator.scores(model))
    found = Evaluation.from_json(json.loads(json.dumps(measured.as_json())))
    assert found.metrics == measured.metrics
    for kind in ("clicked", "others"):
        np.testing.assert_array_equal(
            getattr(found.similarities, kind), getattr(measured.similarities, kind)
        )
