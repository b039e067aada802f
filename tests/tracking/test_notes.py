"""What MLflow's pages tell in words."""

import re

from made_records import a_run, an_iteration
from tracked import METHOD, SHIFT, begin, do_run, finish, start_run

from hooktune.tracking import Tracker
from hooktune.tracking.notes import iteration_note, note_tags, run_note
from hooktune.tracking.records import NOTE_TAG, WARNING_TAG

NASTY = "<script>alert(1)</script>\n# big\n| **b** [x](javascript:y) `c` \x1b[2J"


def note_of(tracker: Tracker, iteration) -> str:
    return tracker.client.get_experiment(iteration.experiment_id).tags[NOTE_TAG]


def test_an_iteration_and_its_runs_tell_their_story(tracker: Tracker):
    begun = begin(tracker)
    assert f"**{METHOD}** on batch `{1:024x}`" in note_of(tracker, begun)
    assert "(the initial model)" in note_of(tracker, begun)
    worse, better = (do_run(tracker, begun, value) for value in (0.1, 0.2))
    failed = start_run(tracker, begun, None, "third")
    tracker.end_run(failed, "FAILED", "ValueError: no luck")
    tracker.tag(better, {WARNING_TAG: "ranks worse than its starting model"})
    done = tracker.finish_iteration(begun)

    told = note_of(tracker, done)
    assert "2 finished, 1 failed" in told
    assert f"The best run is `run 0.2` (`{better.run_id}`)" in told
    assert f"| `{SHIFT}` | 0.0000 | 0.2000 |" in told
    assert "ranks worse" in told
    assert "no luck" in told
    notes = {run.run_id: run.tags[NOTE_TAG] for run in tracker.runs(done)}
    assert "The best run of its iteration" in notes[better.run_id]
    assert "**Warning:** ranks worse" in notes[better.run_id]
    assert f"| `{SHIFT}` | 0.0000 | 0.1000 |" in notes[worse.run_id]
    assert "best" not in notes[worse.run_id]
    assert "Failed: ValueError: no luck" in notes[failed.run_id]

    second = finish(tracker, 2, -0.1)
    assert "No run beats the starting model, which stays." in note_of(tracker, second)
    assert f"(on batch `{1:024x}`)" in note_of(tracker, second)


def test_a_description_that_people_edited_stays(tracker: Tracker):
    begun = begin(tracker)
    run = do_run(tracker, begun, 0.1)
    tracker.client.set_experiment_tag(begun.experiment_id, NOTE_TAG, "ours")
    tracker.client.set_tag(run.run_id, NOTE_TAG, "mine")
    tracker.finish_iteration(begun)
    assert note_of(tracker, begun) == "ours"
    assert tracker.run(run.run_id).tags[NOTE_TAG] == "mine"


def test_a_description_is_no_place_for_markup():
    run = a_run("aa", 0.5, name=NASTY, warning=NASTY, failure=NASTY, method=NASTY)
    for note in (
        iteration_note(an_iteration("aa", True), run, [run]),
        run_note(an_iteration("aa"), run),
    ):
        assert "<" not in note
        assert "\x1b" not in note
        assert not re.search(r"^# ", note, re.MULTILINE)
        assert "[x](" not in note


def test_a_description_is_never_longer_than_the_store_takes():
    runs = [a_run(f"{number}", failure="<" * 100_000) for number in range(200)]
    note = iteration_note(an_iteration(), None, runs)
    assert "and 188 more" in note
    assert len(note_tags(note * 10)[NOTE_TAG]) <= 5000


def test_a_store_that_refuses_the_description_stops_nothing(tracker: Tracker, monkeypatch):
    begun = begin(tracker)
    run = start_run(tracker, begun, 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(tracker.client, "log_batch", lambda *_, **__: 1 / 0)
        assert tracker.end_run(run, "FINISHED").status == "FINISHED"
