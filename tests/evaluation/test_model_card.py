"""What people should know of a model before they use it."""

from pathlib import Path

import pytest
from champions import champion, finish, hand_over
from made_figures import made_figures
from sentence_transformers import SentenceTransformer
from tracked import METHOD, SHIFT

from hooktune import Runner
from hooktune.contract.metric import RANKING_METRIC
from hooktune.evaluation.evidence import metric_intervals
from hooktune.evaluation.model_card import licence_of
from hooktune.tracking import Tracker
from hooktune.tracking.records import INTERVALS_TAG, to_json


def test_an_exported_model_and_a_registered_one_carry_their_card(store_uri: str, tmp_path: Path):
    tracker = Tracker(store_uri)
    run = finish(tracker, 1, 0.1)
    values = [0.2, 0.4, 0.3, 0.5], [0.3, 0.5, 0.5, 0.6]
    intervals = metric_intervals(made_figures({SHIFT: values, RANKING_METRIC: values}), [SHIFT])
    tags = {
        INTERVALS_TAG: to_json({name: found.as_json() for name, found in intervals.items()}),
        "hooktune.warning": "is worse for queries of <b>1 word</b> | [x](http://a.b)",
        "hooktune.plugin.own": "own-method 1.0, at https://user:secret@example.org",
    }
    tracker.tag(run, tags)
    facts = '{"hooktune.train_sessions": 4000, "hooktune.test_sessions": 1000}'
    tracker.log_text(run, facts, "manifest.json")

    Runner(store_uri).export(run.run_id, tmp_path / "exported")
    card = (tmp_path / "exported" / "README.md").read_text("utf-8")
    assert card.startswith("---\nlibrary_name: sentence-transformers\n")
    assert f"# {METHOD} on batch `{1:024x}`" in card
    assert "4,000 sessions trained on and 1,000 sessions tested with" in card
    assert f"| `{SHIFT}` | 0.0000 | 0.1000 | {intervals[SHIFT]} |" in card
    assert "names no licence" in card
    assert "No query was kept from every choice" in card
    assert "<b>" not in card
    assert "](http" not in card
    assert "secret" not in card
    loaded = SentenceTransformer(str(tmp_path / "exported"), device="cpu")
    assert loaded.encode("apple").shape == (32,)

    hand_over(tracker)
    version = champion(tracker)
    found = tracker.client.get_model_version(version.model, str(version.number))
    assert "## Limits" in found.description
    assert "Compared on the test sessions" in found.description


def test_an_initial_model_keeps_its_own_card(store_uri: str, tmp_path: Path):
    tracker = Tracker(store_uri)
    finish(tracker, 1, 0.1)
    initial = tracker.initial_run(METHOD)
    Runner(store_uri).export(initial.run_id, tmp_path / "exported")
    assert not (tmp_path / "exported" / "STARTING_MODEL.md").exists()


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model", "apache-2.0"),
        ('---\nlicense: "cc-by-4.0"\n---', "cc-by-4.0"),
        ("---\nlicense:\n- mit\n---\n", None),
        ("---\nlicense: <script>\n---\n", None),
        ("# A model\nlicense: mit", None),
        (None, None),
    ],
)
def test_the_licence_is_that_which_the_head_of_a_card_names(card: str | None, licence: str | None):
    assert licence_of(card) == licence
