"""How likely positions are looked at, estimated from logs of which it is known."""

import json

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from log_writers import write_json_lines

from hooktune import open_batch, read_manifest, release_batch
from hooktune.cli import cli
from hooktune.contract.sessions import Sessions
from hooktune.data.examination import smoothed
from hooktune.data.position_bias import Examination, PositionBias, position_bias
from hooktune_default.confidence import MAX_INVERSE_PROPENSITY, result_confidence
from hooktune_default.params import Params

SHAPES = {
    "power": lambda position: 1 / position,
    "geometric": lambda position: 0.8 ** (position - 1),
    "cliff": lambda position: np.where(position <= 3, 1.0, 0.3),
}
POSITIONS = np.arange(1, 7)


def generated(shape, seed, *, moves=0.2, scores=False, searches=3000, queries=60) -> Sessions:
    """A log of an engine that knows relevance up to noise, which moves items."""
    random = np.random.default_rng(seed)
    relevance = random.beta(1, 3, (queries, 10))
    query = random.integers(queries, size=searches)
    score = relevance[query] + moves * random.normal(size=(searches, 10))
    shown = np.argsort(-score, axis=1)[:, : len(POSITIONS)]
    liked = np.take_along_axis(relevance[query], shown, axis=1)
    clicks = random.random(liked.shape) < liked * shape(POSITIONS)
    rank = np.take_along_axis(score, shown, axis=1) if scores else np.full(liked.shape, np.nan)

    def texts(count):
        return pa.array([f"{number:06}" for number in range(count)], pa.large_string())

    return Sessions(
        queries=texts(queries),
        items=texts(queries * 10),
        session_ids=texts(searches),
        query_index=query,
        offsets=np.arange(searches + 1) * len(POSITIONS),
        item_index=(query[:, None] * 10 + shown).ravel(),
        clicks=clicks.ravel().astype(np.int64),
        rank=rank.ravel(),
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("scores", [False, True], ids=["items that moved", "scores"])
def test_the_truth_lies_within_most_intervals(shape, scores):
    held = told = 0
    for seed in range(3):
        # Where scores are recorded here nothing moves, so that they alone can tell.
        found = position_bias(generated(shape, seed, moves=0 if scores else 0.2, scores=scores))
        assert found.source == ("scores" if scores else "items that moved")
        truth = shape(POSITIONS) / shape(POSITIONS[:1])
        held += sum(
            each.low <= truth[each.position - 1] <= each.high for each in found.positions[1:]
        )
        told += len(found.positions) - 1
    assert told == 15
    assert held >= 12


def test_where_nothing_moved_the_log_cannot_tell():
    found = position_bias(generated(SHAPES["power"], 0, moves=0))
    assert (found.source, found.positions) == ("nothing", ())
    assert "this log cannot tell" in found.in_words


def test_few_clicks_tell_nothing():
    found = position_bias(generated(SHAPES["power"], 0, searches=20))
    assert found.source == "nothing"


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 5))
def test_any_sessions_have_an_estimate_or_none(seed, searches, queries):
    sessions = generated(
        SHAPES["cliff"], seed, searches=searches, queries=queries, scores=bool(seed % 2)
    )
    for each in position_bias(sessions).positions:
        assert 0 <= each.low <= each.probability <= each.high < np.inf


def told(probabilities, factor):
    """What a log tells: probabilities, and by what their intervals reach to each side."""
    return PositionBias(
        source="items that moved",
        positions=[
            Examination(position=1, probability=1, low=1, high=1, clicks=100),
            *(
                Examination(
                    position=place, probability=p, low=p / factor, high=p * factor, clicks=9
                )
                for place, p in enumerate(probabilities, start=2)
            ),
        ],
    )


def test_what_is_known_well_is_taken_as_it_is_and_further_positions_go_on_from_it():
    examined = smoothed(told([0.9, 0.2, 0.8], factor=1.01))
    assert examined[:4] == pytest.approx([1, 0.9, 0.2, 0.8], rel=1e-3)
    assert len(examined) == 20
    assert (np.diff(examined[4:]) < 0).all()
    assert examined[4] < 0.8


def test_what_is_hardly_known_is_near_a_power_law():
    places = np.arange(1, 21)
    assert smoothed(PositionBias(source="nothing")) == pytest.approx(places**-0.5)
    assert smoothed(told([0.4, 0.9], factor=10)) == pytest.approx(places**-0.5, rel=0.5)
    decays = smoothed(told([0.3, 0.4, 0.2, 0.25, 0.1], factor=2.5))
    assert (np.diff(decays) < 0).all()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_of_a_small_log_the_truth_is_missed_by_less(shape):
    errors = []
    for seed in range(6):
        bias = position_bias(generated(shape, seed, searches=400))
        estimates = np.array([each.probability for each in bias.positions])
        truth = shape(POSITIONS[: len(estimates)])
        errors.append(
            [
                np.square(np.log(each[: len(truth)] / truth)).sum()
                for each in (smoothed(bias), estimates)
            ]
        )
    ours, raw = np.sum(errors, axis=0)
    assert ours < raw


def write_log(tmp_path, moves):
    """Sessions that show a, b and c in an order that turns where the log moves items."""
    random = np.random.default_rng(0)
    sessions = []
    for number in range(600):
        shown = np.roll(["a", "b", "c"], number % 3 if moves else 0).tolist()
        clicked = [
            {"object_id": item}
            for item, looked_at in zip(shown, (1, 0.5, 0.25), strict=True)
            if random.random() < 0.4 * looked_at
        ]
        sessions.append(
            {
                "session_id": f"s{number:04}",
                "search_query": f"q{number % 40}",
                "search_results": [{"object_id": item} for item in shown],
                "events": clicked,
            }
        )
    items = write_json_lines(
        tmp_path / "items.jsonl", ({"object_id": name, "text": name} for name in "abc")
    )
    release_batch(write_json_lines(tmp_path / "log.jsonl", sessions), items, tmp_path / "batch")
    return tmp_path / "batch"


def test_a_batch_holds_what_its_log_tells_and_clicks_are_weighted_by_it(tmp_path):
    folder = write_log(tmp_path, moves=True)
    bias = read_manifest(folder).position_bias
    sessions = open_batch(folder).sessions
    estimates = [each.probability for each in bias.positions]
    assert estimates[1:] == pytest.approx([0.5, 0.25], rel=0.35)
    assert sessions.examination.tolist() == smoothed(bias).tolist()
    confidence = result_confidence(sessions, Params())
    examined = smoothed(bias)[sessions.positions - 1]
    assert confidence[~sessions.clicked] == pytest.approx(examined[~sessions.clicked])
    inverse = np.minimum(1 / examined, MAX_INVERSE_PROPENSITY)
    assert confidence[sessions.clicked] == pytest.approx(inverse[sessions.clicked])
    some = sessions.take(np.array([5, 3])).keep_results(np.array([True, False] * 3))
    assert some.examination.tolist() == smoothed(bias).tolist()


def test_where_the_log_cannot_tell_the_power_law_holds(tmp_path):
    folder = write_log(tmp_path, moves=False)
    sessions = open_batch(folder).sessions
    assert sessions.examination is None
    confidence = result_confidence(sessions, Params(examination_decay=1))
    others = ~sessions.clicked
    assert confidence[others] == pytest.approx(1 / sessions.positions[others])
    shown = CliRunner().invoke(cli, ["batch", "show", str(folder)]).stdout
    assert "position bias this log cannot tell" in shown


def test_the_command_shows_a_table_and_a_picture(tmp_path):
    folder = write_log(tmp_path, moves=True)
    shown = CliRunner().invoke(cli, ["batch", "show", str(folder)]).stdout
    assert "position bias estimated from items that one query showed at several positions" in shown
    assert f"     1 {'█' * 40} 1.00 (1.00 to 1.00)" in shown
    as_json = CliRunner().invoke(cli, ["batch", "show", str(folder), "--json"]).stdout
    assert json.loads(as_json)["position_bias"]["source"] == "items that moved"


def test_a_batch_of_an_earlier_version_has_none(tmp_path):
    folder = write_log(tmp_path, moves=True)
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["position_bias"]
    file.chmod(0o644)
    file.write_text(json.dumps(manifest))
    assert open_batch(folder).sessions.examination is None
