"""The card of a model: what people should know before they use it, in Markdown.

It goes with an exported model and with a registered version. All that comes from logs, plugins and
people's names is escaped, and it holds no address and no path.
"""

import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hooktune.contract.interval import Interval
from hooktune.errors import HooktuneError
from hooktune.evaluation.kept_files import read_kept
from hooktune.naming import iteration_name
from hooktune.plain_text import encodable, markdown, markdown_code
from hooktune.tracking.models.files import read_model_text
from hooktune.tracking.records import PLUGIN_TAG

if TYPE_CHECKING:
    from hooktune.tracking import Iteration, RunRecord, Tracker

logger = logging.getLogger(__name__)

CARD_FILE: Final = "README.md"
STARTING_CARD_FILE: Final = "STARTING_MODEL.md"
"""Where an exported model has the card that came with the starting model."""

_MANIFEST: Final = "manifest.json"
_FRONT: Final = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_LICENCE: Final = re.compile(r"^license:\s*[\"']?([A-Za-z0-9.+-]{1,50})[\"']?\s*$", re.MULTILINE)


def model_card(tracker: "Tracker", run: "RunRecord", licence: str | None) -> str | None:
    """Return the card of a run's model; None for an initial model, which has only its own.

    Args:
        tracker: The tracking store.
        run: The run.
        licence: The one that the card which came with the starting model names.

    Raises:
        HooktuneError: What the run has kept cannot be read.
    """
    iteration = None
    if run.batch_id is not None:
        iteration = tracker.iteration(iteration_name(run.method, run.batch_id))
    if iteration is None:
        return None
    facts = read_kept(tracker, run, _MANIFEST, _read_facts) or {}
    sections = {
        "Data": _data(iteration, run, facts),
        "Method": _method(iteration, run),
        "Results": _results(iteration, run),
        "Limits": _limits(run),
        "Licence": [
            f"The starting model's card says {markdown_code(licence)}."
            if licence
            else "The starting model's card names no licence. Ask for it before this model is "
            "passed on."
        ],
    }
    parts = [f"# {markdown(run.method)} on batch `{iteration.name.batch_id}`"]
    for title, paragraphs in sections.items():
        parts += [f"## {title}", *paragraphs]
    return encodable("\n\n".join(parts)) + "\n"


def write_model_card(tracker: "Tracker", run: "RunRecord", folder: Path) -> None:
    """Put the card of a run's model into its exported folder; a failure only warns.

    The card that is there is the starting model's, and is kept under another name.
    """
    try:
        present = folder / CARD_FILE
        text = present.read_text("utf-8", "replace") if present.exists() else None
        licence = licence_of(text)
        card = model_card(tracker, run, licence)
        if card is None:
            return
        if text is not None:
            present.rename(folder / STARTING_CARD_FILE)
        present.write_text(_front_matter(licence) + card, encoding="utf-8")
    except (HooktuneError, OSError) as error:
        logger.warning("the model of run %s was exported without its card: %s", run.run_id, error)


def version_card(tracker: "Tracker", run: "RunRecord") -> str | None:
    """Return the card of a model that is to be registered; None where it cannot be made."""
    try:
        return model_card(tracker, run, licence_of(read_model_text(tracker.client, run, CARD_FILE)))
    except HooktuneError as error:
        logger.warning("the model of run %s is registered without its card: %s", run.run_id, error)
        return None


def licence_of(card: str | None) -> str | None:
    """Return the licence that the head of a card names, as model hubs read it; None without."""
    front = _FRONT.match(card or "")
    found = _LICENCE.search(front[1]) if front else None
    return found[1] if found else None


def _front_matter(licence: str | None) -> str:
    lines = ["library_name: sentence-transformers", "pipeline_tag: sentence-similarity"]
    if licence:
        lines.append(f"license: {licence}")
    lines += ["tags:", "- sentence-transformers", "- hooktune"]
    return "---\n" + "\n".join(lines) + "\n---\n\n"


def _data(iteration: "Iteration", run: "RunRecord", facts: dict[str, Any]) -> list[str]:
    day = datetime.fromtimestamp(run.started_at / 1000, UTC).date().isoformat()
    counted = {
        words: facts[f"hooktune.{name}"]
        for name, words in (("train_sessions", "trained on"), ("test_sessions", "tested with"))
        if isinstance(facts.get(f"hooktune.{name}"), int)
    }
    sessions = " and ".join(f"{count:,} sessions {words}" for words, count in counted.items())
    return [
        f"Searches and clicks of batch `{iteration.name.batch_id}`"
        + (f", {sessions}" if sessions else "")
        + f". Tuned on {day} (UTC), from the model of run `{iteration.starting_run}`.",
        " ".join(markdown(sentence) for sentence in iteration.settings.in_words()),
    ]


def _method(iteration: "Iteration", run: "RunRecord") -> list[str]:
    plugins = {
        tag.removeprefix(f"{PLUGIN_TAG}."): origin
        for tag, origin in run.tags.items()
        if tag.startswith(f"{PLUGIN_TAG}.")
    }
    made = "; ".join(f"{markdown(name)}: {markdown(plugins[name])}" for name in sorted(plugins))
    told = [
        f"{markdown(iteration.name.method)}, run `{run.run_id}`." + (f" {made}." if made else "")
    ]
    if run.params:
        rows = (
            f"| {markdown_code(name)} | {markdown_code(str(value))} |"
            for name, value in sorted(run.params.items())
        )
        told.append("\n".join(["| hyper-parameter | value |", "|---|---|", *rows]))
    return told


def _results(iteration: "Iteration", run: "RunRecord") -> list[str]:
    held_out = run.holdout
    before, intervals = iteration.starting_metrics_of(run), run.intervals
    rows = []
    if held_out is not None:
        names = [name for name in held_out.intervals if name in run.metrics]
        rows += [_row(run, name, held_out.starting, held_out.intervals) for name in names]
    shown = [name for name in iteration.settings.shown_metrics if name in run.metrics]
    rows += [_row(run, name, before, intervals) for name in shown]
    heads = ["| metric | starting model | this model | change, 95 % |", "|---|---|---|---|"]
    words = [markdown(sentence) for sentence in iteration.evidence_in_words(run)]
    return ["\n".join([*heads, *rows]), *words]


def _row(
    run: "RunRecord", name: str, before: dict[str, float], intervals: dict[str, Interval]
) -> str:
    cells = [
        "–" if value is None else f"{value:.4f}" for value in (before.get(name), run.metrics[name])
    ]
    return f"| {markdown_code(name)} | {' | '.join(cells)} | {intervals.get(name, '–')} |"


def _limits(run: "RunRecord") -> list[str]:
    said = [
        "People click on what they are shown: nothing is known of items that no search has shown, "
        "nor of other catalogues, languages and times than those of the log.",
        "Embeddings of this model and of others cannot be compared.",
    ]
    if run.holdout is None:
        said.append(
            "No query was kept from every choice, so that what the test queries say is a little "
            "too good."
        )
    if run.warning:
        said.append(f"This run {markdown(run.warning, 1000)}.")
    return ["\n".join(f"- {sentence}" for sentence in said)]


def _read_facts(content: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(content)
    except ValueError as error:
        raise HooktuneError(f"{_MANIFEST}: {error}") from error
    return facts if isinstance(facts, dict) else {}
