"""Tags that somebody edited in the store: what is shown leaves them out or says so, in words.

A raw error, such as a TypeError, is what hooktune has not thought of; it is told as `hooktune -v`.
"""

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from champions import finish, hand_over
from plugin_zoo import opened_zoo
from tracked import METHOD, SHIFT, begin, do_run, put_back

from hooktune.cli import main
from hooktune.contract.settings import IterationSettings, setting_tag
from hooktune.errors import HooktuneError
from hooktune.evaluation.champion import roll_back
from hooktune.iteration.runs_at_work import STEPS_TAG
from hooktune.iteration.starting_run import find_starting_run
from hooktune.iteration.takeover import end_dead_runs, sweep
from hooktune.tracking import Iteration, Tracker, records, search_tags
from hooktune.tracking.claims import CLAIM_PREFIX
from hooktune.tracking.holdouts import HOLDOUT_TAG
from hooktune.tracking.models import champions
from hooktune.tracking.models.kept_weights import WEIGHTS_TAG
from hooktune.tracking.tag_values import json_object, metrics_in, whole_number

BATCH: Final = f"{2:024x}"
COMMANDS: Final = [("iterations", "--json"), ("runs", BATCH), ("compare", BATCH)]
REPORT: Final = ("report", BATCH, "report.html")
VALUES: Final = {
    "a list": "[1]",
    "texts": f'{{"{SHIFT}": "high", "starting": "x", "process": "x"}}',
    "nulls": f'{{"{SHIFT}": null, "starting": null, "intervals": null}}',
    "objects": f'{{"{SHIFT}": {{}}, "starting": {{"a": []}}, "intervals": {{"a": 1}}}}',
    "an immense number": f'{{"{SHIFT}": {"9" * 400}, "starting": {{"a": {"9" * 400}}}}}',
    "an endless interval": f'{{"{SHIFT}": {{"difference": 1e999, "low": -1e999, "high": 1e999,'
    ' "p": -1, "queries": 1e999, "more_queries": 1e999}}',
    "4500 digits": "9" * 4500,
    "deep lists": "[" * 3000,
    "terminal codes": "\x1b[2J\x1b]0;owned\x07\u0663\u00b2",
    "markup": "a\nError: b\r\n<script>alert(1)</script>[red]x[/red]",
}  # fmt: skip
NO_JSON: Final = ("4500 digits", "terminal codes", "markup")
"""What those tags are tried with that hold a number, a time, a word, an id or a text."""
ITERATION_TAGS: Final = [
    records.STARTING_RUN_TAG, records.PREVIOUS_RUN_TAG, records.BEST_RUN_TAG, records.FINISHED_TAG,
    records.IMPROVED_TAG, records.STARTING_METRICS_TAG, records.NOTE_TAG, f"{CLAIM_PREFIX}key.1",
    *map(setting_tag, IterationSettings.model_fields),
]  # fmt: skip
RUN_TAGS: Final = [
    records.METHOD_TAG, records.BATCH_TAG, records.RUN_KEY_TAG, records.HYPER_PARAMETERS_TAG,
    records.INITIAL_MODEL_TAG, records.MODEL_TAG, records.MODEL_BYTES_TAG, records.MODEL_DIGEST_TAG,
    records.FAILURE_TAG, records.HELD_BACK_TAG, records.INTERVALS_TAG, records.WARNING_TAG,
    records.PROCESS_TAG, records.CHECKPOINT_TAG, records.STARTING_METRICS_TAG, HOLDOUT_TAG,
    records.named_tag(records.PLUGIN_TAG, METHOD), search_tags.RUN_NUMBER_TAG,
    search_tags.SEARCHED_TAG, search_tags.PRUNED_TAG, WEIGHTS_TAG, STEPS_TAG,
]  # fmt: skip
VERSION_TAGS: Final = [
    champions.PROMOTED_TAG, champions.ROLLED_BACK_TAG, champions.REPLACED_TAG, "hooktune.decision",
    "hooktune.compared_metrics",
]  # fmt: skip
JSON_TAGS: Final = {
    records.STARTING_METRICS_TAG, f"{CLAIM_PREFIX}key.1", records.HYPER_PARAMETERS_TAG,
    records.INTERVALS_TAG, records.PROCESS_TAG, HOLDOUT_TAG, search_tags.SEARCHED_TAG, WEIGHTS_TAG,
    "hooktune.compared_metrics",
}  # fmt: skip


def edits(tags: list[str]) -> list[tuple[str, str]]:
    """Return each tag with the name of each value that it is tried with."""
    return [(tag, value) for tag in tags for value in (VALUES if tag in JSON_TAGS else NO_JSON)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """A store with two iterations and two champions of a method that is installed."""
    folder = tmp_path_factory.mktemp("edited")
    shutil.copy(empty_store, folder / "mlflow.db")
    tracker = Tracker(f"sqlite:///{folder / 'mlflow.db'}", folder / "spool")
    for batch in (1, 2):
        finish(tracker, batch, 0.1 * batch, 0.6)
        hand_over(tracker)
    with opened_zoo(tmp_path_factory.mktemp("plugins") / "site") as zoo:
        zoo.install("some-method", method=METHOD)
        yield folder


@pytest.fixture
def tracker(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracker]:
    monkeypatch.chdir(tmp_path)
    with put_back(folder):
        yield Tracker(f"sqlite:///{folder / 'mlflow.db'}", folder / "spool")


def assert_told_in_words(tracker: Tracker, *more: tuple[str, ...]) -> None:
    """Every listing ends well or with an error of hooktune's own."""
    for command in [*COMMANDS, *more]:
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as end,
        ):
            main(["--tracking-uri", tracker.tracking_uri, *command])
        said = err.getvalue()
        assert "hooktune -v" not in said, (command, said)
        assert end.value.code in (0, 1, 2)
        assert "\x1b" not in out.getvalue() + said


def go_on(tracker: Tracker) -> None:
    """Do what a process does that begins an iteration, goes on with one and ends it."""
    begun = begin(tracker, 3, start=tracker.initial_run(METHOD))
    do_run(tracker, begun, 0.3)
    for iteration in tracker.iterations():
        sweep(tracker, iteration)
        end_dead_runs(tracker, iteration)
    tracker.finish_iteration(begun)
    assert tracker.starting_model(METHOD).metrics[SHIFT] == 0.3


@pytest.fixture
def iteration(tracker: Tracker) -> Iteration:
    return tracker.iterations()[-1]


@pytest.mark.parametrize(("tag", "value"), edits(ITERATION_TAGS))
def test_an_edited_tag_of_an_iteration(tracker, iteration, tag: str, value: str):
    tracker.client.set_experiment_tag(iteration.experiment_id, tag, VALUES[value])
    assert_told_in_words(tracker)


@pytest.mark.parametrize(("tag", "value"), edits(RUN_TAGS))
def test_an_edited_tag_of_a_run(tracker, iteration, tag: str, value: str):
    tracker.client.set_tag(iteration.best_run, tag, VALUES[value])
    assert_told_in_words(tracker, *[REPORT] * (value in ("objects", "markup")))
    page = Path("report.html")
    assert not page.exists() or "<script>alert" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("value", ["objects", "an immense number", "4500 digits", "deep lists"])
@pytest.mark.parametrize("of", ["a run", "an iteration"])
def test_edited_tags_stop_no_further_batch(tracker, iteration, of: str, value: str):
    if of == "a run":
        for tag in RUN_TAGS:
            tracker.client.set_tag(iteration.best_run, tag, VALUES[value])
    else:
        for tag in ITERATION_TAGS:
            tracker.client.set_experiment_tag(iteration.experiment_id, tag, VALUES[value])
    go_on(tracker)


@pytest.mark.parametrize(("tag", "value"), edits(VERSION_TAGS))
def test_an_edited_tag_of_a_champion(tracker, tag: str, value: str):
    now = tracker.champion(METHOD)
    tracker.client.set_model_version_tag(now.model, str(now.number), tag, VALUES[value])
    with contextlib.suppress(HooktuneError):
        assert not hand_over(tracker).is_new
    with contextlib.suppress(HooktuneError):
        assert roll_back(tracker, METHOD).champion.number == 1


@pytest.mark.parametrize("value", [*VALUES.values(), "a\0b"])
def test_an_edited_name_of_an_initial_model(tracker, value: str):
    run = tracker.initial_run(METHOD)
    tracker.client.set_tag(run.run_id, records.INITIAL_MODEL_TAG, value)
    with pytest.raises(HooktuneError, match="has an initial model already"):
        find_starting_run(tracker, METHOD, None, initial_model="another")


def test_what_a_tag_holds_is_read_or_is_nothing():
    assert json_object(None) == json_object("") == metrics_in("") == {}
    assert metrics_in('{"a": 1, "b": -0.5}') == {"a": 1.0, "b": -0.5}
    assert whole_number("12") == 12
    for text in ("[1]", "{", "null", '"a"', "[" * 5000):
        assert json_object(text) is None
    for text in ('{"a": "1"}', '{"a": true}', '{"a": null}', f'{{"a": {"9" * 400}}}'):
        assert metrics_in(text) is None
    for text in ("", None, "-1", "1.0", "9" * 4500):
        assert whole_number(text) is None
