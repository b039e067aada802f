"""Handing over the best: a method's best model becomes its champion where it is better."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hooktune.contract.listing import Record
from hooktune.contract.sessions import Batch
from hooktune.contract.settings import setting_tag
from hooktune.errors import HooktuneError, RequestError
from hooktune.evaluation.contest import Contest, Requirement, compare_with_champion
from hooktune.evaluation.model_card import version_card
from hooktune.plain_text import markdown, markdown_code
from hooktune.plugin.host import Host
from hooktune.tracking import RunRecord, Tracker
from hooktune.tracking.models import champions
from hooktune.tracking.models.champions import ModelVersion
from hooktune.tracking.records import BATCH_TAG, to_json

DECISION_TAG: Final = "hooktune.decision"
"""That of a model version: `better`, `not worse`, or `forced` where something spoke against it."""


@dataclass(frozen=True, repr=False)
class Promotion(Record):
    """What a promotion came to."""

    champion: ModelVersion
    run: RunRecord
    """The run whose model is the champion."""
    replaced: ModelVersion | None
    contest: Contest | None
    """None where nothing could be compared and the promotion was forced."""
    is_new: bool
    """False where the model was the champion already."""

    def as_row(self) -> dict[str, Any]:
        """Return which version is the champion now, and what it took over from."""
        return {
            "model": self.champion.model,
            "version": self.champion.number,
            "run_id": self.run.run_id,
            "replaced": self.replaced and self.replaced.number,
            "is_new": self.is_new,
        }


def promote(
    tracker: Tracker,
    method: str,
    open_host: Callable[[], Host],
    batch: Batch | None = None,
    *,
    require: Requirement | None = None,
    force: bool = False,
    device: str | None = None,
) -> Promotion:
    """Make the best model of a method its champion, if the evidence speaks for it.

    Args:
        tracker: The tracking store.
        method: The method's display name.
        open_host: Opens the plugins; called only if the models have to be measured.
        batch: Sessions to measure both on; needed where no iteration has measured both.
        require: What the interval of the main metric has to say of the model: that it is better,
            or that it is not worse. None for the latter where there is no champion yet.
        force: Promote it whatever the comparison says.
        device: The torch device to measure on.

    Raises:
        RequestError: There is nothing to promote, or a batch is needed to compare.
        HooktuneError: Something speaks against the model, and the champion stays.
    """
    run = tracker.starting_model(method)
    if run is None:
        raise RequestError(f"{method!r} has no model yet. `hooktune run` makes one.")
    champion = tracker.champion(method)
    if champion is not None and champion.run_id == run.run_id:
        return Promotion(champion, run, None, None, is_new=False)
    contest, objections = None, []
    try:
        contest = compare_with_champion(tracker, run, champion, open_host, batch, device)
        objections = contest.objections(require)
    except HooktuneError as error:
        if not force:
            raise
        objections = [str(error)]
    if earlier := champions.rolled_back(tracker.client, method, run):
        objections.append(f"it was the champion as version {earlier.number} and was rolled back")
    if objections and not force:
        raise HooktuneError(
            f"The model of run {run.run_id} is not promoted: {'; '.join(objections)}. "
            f"{_other_ways(contest, require, earlier)}--force promotes it all the same."
        )
    is_better = contest is not None and contest.is_better
    decision = "forced" if objections else "better" if is_better else "not worse"
    tags = {
        BATCH_TAG: run.batch_id or "",
        DECISION_TAG: decision,
        "hooktune.objections": "; ".join(objections)[:4000],
        **_contest_tags(contest),
    }
    note = "\n\n".join(
        filter(None, [_note(method, run, contest, objections), version_card(tracker, run)])
    )
    made = champions.register_champion(
        tracker.client, method, run, champion, {key: tags[key] for key in tags if tags[key]}, note
    )
    return Promotion(made, run, champion, contest, is_new=True)


def _other_ways(
    contest: Contest | None, require: Requirement | None, rolled_back: ModelVersion | None
) -> str:
    """Name the requirement that the model meets, if there is one."""
    if contest is None or rolled_back or require or contest.objections("not-worse"):
        return ""
    return "`--require not-worse` promotes it. "


def _contest_tags(contest: Contest | None) -> dict[str, str]:
    if contest is None:
        return {}
    both = {"candidate": contest.candidate, "present": contest.present}
    values = {
        who: {name: metrics[name] for name in contest.metrics if name in metrics}
        for who, metrics in both.items()
    }
    known = contest.intervals.get(contest.main_metric.name)
    evidence = {} if known is None else known.as_json()
    evidence.pop("more_queries", None)
    return {
        setting_tag("main_metric"): str(contest.main_metric),
        "hooktune.compared_with": contest.rival,
        "hooktune.compared_on": contest.sessions,
        "hooktune.compared_batch": contest.batch_id,
        "hooktune.compared_metrics": to_json(values),
        **{f"hooktune.{name}": str(value) for name, value in evidence.items() if value is not None},
    }


def _note(method: str, run: RunRecord, contest: Contest | None, objections: list[str]) -> str:
    lines = [f"The model of run {markdown_code(run.run_id)} of {markdown(method)}."]
    if contest is not None:
        lines += [
            f"Compared on {contest.sessions}:",
            f"| metric | {contest.rival} | this model | change, 95 % |\n"
            "|---|---|---|---|\n"
            + "\n".join(
                f"| {markdown_code(name)} | {contest.present.get(name, float('nan')):.4f} "
                f"| {contest.candidate.get(name, float('nan')):.4f} "
                f"| {contest.intervals.get(name, '–')} |"
                for name in contest.metrics
            ),
        ]
    if objections:
        lines.append(f"**Forced**, though {markdown('; '.join(objections), 1000)}.")
    return "\n\n".join(lines)
