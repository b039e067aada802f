"""What MLflow's pages tell of an iteration and its runs: in Markdown's words, and as a view."""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from hooktune.plain_text import markdown, markdown_code
from hooktune.tracking.queries import find_run, search_runs
from hooktune.tracking.records import NOTE_TAG, TAG_LENGTH, Iteration, RunRecord
from hooktune.tracking.saved_view import VIEW_TAG, saved_view, view_address

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

NOTE_DIGEST_TAG: Final = "hooktune.note_digest"
"""Tells whether the description is still the one that hooktune wrote: people may edit it."""

VIEW_DIGEST_TAG: Final = "hooktune.view_digest"
"""Tells the same of the saved view."""

_MOST_LINES: Final = 12
_STATUS: Final = {
    "RUNNING": "Running.",
    "FINISHED": "Finished.",
    "FAILED": "Failed",
    "KILLED": "Ended before its time",
}


def note_tags(note: str) -> dict[str, str]:
    """Return the tags by which a description is recorded as hooktune's own."""
    note = note[:TAG_LENGTH]
    return {NOTE_TAG: note, NOTE_DIGEST_TAG: _digest(note)}


def describe(client: "MlflowClient", iteration: Iteration) -> None:
    """Write the description and the view of an iteration anew, and what its runs tell."""
    runs = search_runs(client, iteration.experiment_id)
    try:
        note = iteration_note(iteration, find_run(client, iteration.starting_run), runs)
        present = client.get_experiment(iteration.experiment_id).tags
        changes = _changes(present, note_tags(note))
        if view := saved_view(iteration, runs):
            changes |= _changes(present, {VIEW_TAG: view, VIEW_DIGEST_TAG: _digest(view)})
        for key, value in changes.items():
            client.set_experiment_tag(iteration.experiment_id, key, value)
    except Exception as error:
        logger.warning("the description of %s could not be written: %s", iteration.name, error)
    for run in runs:
        describe_run(client, iteration, run)


def describe_run(client: "MlflowClient", iteration: Iteration, run: RunRecord) -> None:
    """Write the description of a run anew.

    What a run came to is in its params, metrics and tags, so that a failure is only a warning.
    """
    from mlflow.entities import RunTag

    try:
        changes = _changes(run.tags, note_tags(run_note(iteration, run)))
        if changes:
            client.log_batch(run.run_id, tags=[RunTag(*tag) for tag in changes.items()])
    except Exception as error:
        logger.warning("the description of run %s could not be written: %s", run.run_id, error)


def iteration_note(
    iteration: Iteration, starting: RunRecord | None, runs: Iterable[RunRecord]
) -> str:
    """Tell what an iteration is about, and what it came to so far."""
    runs, settings = list(runs), iteration.settings
    parts = [
        f"**{markdown(iteration.name.method)}** on batch `{iteration.name.batch_id}`, from "
        f"{_starting_model(iteration, starting)}.",
        " ".join(markdown(sentence) for sentence in settings.in_words()),
    ]
    best = next((run for run in runs if run.run_id == iteration.best_run), None)
    parts.append(f"[The runs, the best one first]({view_address(iteration)})")
    if runs:
        parts.append(f"{_state(iteration)}: {_counted(runs)}. {_outcome(iteration, best)}")
    if best is not None:
        parts += [_table(iteration, best, "best run"), *_evidence(iteration, best)]
    remarks = [f"- {_name(run)}: {remark}" for run in runs for remark in _remarks(run, 200)]
    if len(remarks) > _MOST_LINES:
        remarks[_MOST_LINES:] = [f"- and {len(remarks) - _MOST_LINES} more"]
    return "\n\n".join([*parts, *(["\n".join(remarks)] if remarks else [])])


def run_note(iteration: Iteration, run: RunRecord) -> str:
    """Tell what a run did and what came of it, beside the model that it started from."""
    parts = [
        f"**{markdown(iteration.name.method)}** on batch `{iteration.name.batch_id}`, with "
        f"{markdown_code(run.name)}, from the model of run `{iteration.starting_run}`."
    ]
    state = _STATUS.get(run.status, run.status)
    if run.failure:
        state = f"{state.rstrip('.')}: {markdown(run.failure)}"
    elif run.run_id == iteration.best_run:
        state += " The best run of its iteration."
    parts.append(state)
    if run.warning:
        parts.append(f"**Warning:** {markdown(run.warning)}.")
    if iteration.settings.main_metric.name in run.metrics:
        parts += [_table(iteration, run, "this run"), *_evidence(iteration, run)]
    return "\n\n".join(parts)


def _starting_model(iteration: Iteration, starting: RunRecord | None) -> str:
    known = f"the model of run `{iteration.starting_run}`"
    if starting is None:
        return known
    where = f"on batch `{starting.batch_id}`" if starting.batch_id else "the initial model"
    whose = "" if starting.method == iteration.name.method else f"of {markdown(starting.method)}, "
    return f"{known} ({whose}{where})"


def _state(iteration: Iteration) -> str:
    day = (iteration.finished_at or "")[:10]
    return f"Finished on {day}" if day else "Not finished"


def _counted(runs: list[RunRecord]) -> str:
    words = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "ended early"}
    counts = {
        word: sum(words.get(run.status, "at work") == word for run in runs)
        for word in (*words.values(), "at work")
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def _outcome(iteration: Iteration, best: RunRecord | None) -> str:
    if best is not None:
        return f"The best run is {_name(best)}."
    if iteration.improved is False:
        return "No run beats the starting model, which stays."
    return "No run beats the starting model yet."


def _name(run: RunRecord) -> str:
    return f"{markdown_code(run.name)} (`{run.run_id}`)"


def _remarks(run: RunRecord, limit: int) -> list[str]:
    said = [markdown(run.warning, limit)] if run.warning else []
    return said + ([f"{run.status}, {markdown(run.failure, limit)}"] if run.failure else [])


def _evidence(iteration: Iteration, run: RunRecord) -> list[str]:
    return [markdown(sentence) for sentence in iteration.evidence_in_words(run)]


def _table(iteration: Iteration, run: RunRecord, heading: str) -> str:
    main, starting = iteration.settings.main_metric, iteration.starting_metrics_of(run)
    others = sorted(name for name in run.metrics if name in starting and name != main.name)
    intervals = run.intervals
    headings = ["metric", "starting model", heading]
    if intervals:
        headings.append("change, 95 %")
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for name in [main.name, *others][:_MOST_LINES]:
        before, value = starting.get(name), run.metrics.get(name)
        cells = ["–" if number is None else f"{number:.4f}" for number in (before, value)]
        if intervals:
            cells.append(str(intervals.get(name, "–")))
        lines.append(f"| {markdown_code(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _changes(present: Mapping[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """Return the tags to set: a text and its digest.

    There are none where people edited the text, or where it says the same already.
    """
    tag, digest_tag = wanted
    written = present.get(tag, "")
    if written and _digest(written) != present.get(digest_tag):
        return {}
    return {} if written == wanted[tag] else wanted


def _digest(note: str) -> str:
    return hashlib.sha256(note.encode()).hexdigest()[:16]
