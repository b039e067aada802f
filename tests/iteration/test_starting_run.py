"""Which run's model an iteration tunes, and whether the initial model is the one asked for."""

from pathlib import Path

import pytest
from tracked import METHOD, begin, do_run, finish, initial_run

from hooktune.errors import RequestError
from hooktune.iteration.starting_run import find_starting_run, model_address
from hooktune.testing import tiny_model
from hooktune.tracking import Tracker
from hooktune.tracking.records import INITIAL_MODEL_TAG


def test_the_starting_run_is_the_last_best_one_unless_another_is_named(tracker: Tracker):
    def found(start: str | None, existing=None):
        return find_starting_run(tracker, METHOD, existing, start=start)

    assert found(None) is None, "no initial model is stored yet"
    initial = initial_run(tracker)
    assert found(None) == found("initial") == found("last") == initial
    first = finish(tracker, 1, 0.1)
    best = tracker.best(first)
    assert found(None) == found("last") == found(best.run_id) == best
    assert found("initial") == initial
    with pytest.raises(RequestError, match="There is no run 'nonsense'"):
        found("nonsense")

    second = begin(tracker, 2)
    assert found(None, second) == found(best.run_id, second) == best
    with pytest.raises(RequestError, match=f"was begun from the model of run {best.run_id}"):
        found("initial", second)


def test_a_run_without_a_model_is_no_start(tracker: Tracker):
    iteration = begin(tracker)
    loser = do_run(tracker, iteration, -0.1)
    with pytest.raises(RequestError, match="has no model to start from"):
        find_starting_run(tracker, METHOD, None, start=loser.run_id)


def test_another_initial_model_than_the_stored_one_is_refused(tracker: Tracker):
    initial_run(tracker)
    with pytest.raises(RequestError, match="has an initial model already"):
        find_starting_run(tracker, METHOD, None, initial_model="some/model")


def test_a_folder_is_the_same_model_from_wherever_it_is_named(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "models")
    tags = {INITIAL_MODEL_TAG: model_address("./mine")}
    initial = tracker.upload_initial_model(METHOD, tiny_model(), tags)

    def found(initial_model: str):
        return find_starting_run(tracker, METHOD, None, initial_model=initial_model)

    assert found("mine") == found("./mine") == found("../models/mine") == found(str(folder))
    monkeypatch.chdir(tmp_path)
    assert found("models/mine") == initial
    with pytest.raises(RequestError, match=f"an initial model already, {folder}, and mine is"):
        found("mine")
    folder.rmdir()
    assert found("models/mine") == found(str(folder)) == initial


def test_the_path_that_an_older_store_holds_is_read_from_the_working_folder(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    initial = tracker.upload_initial_model(METHOD, tiny_model(), {INITIAL_MODEL_TAG: "./mine"})
    for named in ("mine", str(tmp_path / "mine")):
        assert find_starting_run(tracker, METHOD, None, initial_model=named) == initial


def test_a_hub_name_stays_as_it_is():
    assert model_address("sentence-transformers/all-MiniLM-L6-v2") == (
        "sentence-transformers/all-MiniLM-L6-v2"
    )
