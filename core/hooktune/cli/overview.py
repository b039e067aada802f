"""`hooktune` without a command: where one stands, and what to do next."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hooktune.cli.rows import best_model
from hooktune.cli.tables import cell
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.tracking import Iteration, Tracker


def overview(tracker: "Tracker", command: str) -> list[str]:
    """Return a few lines on what the store holds, and the next command.

    Args:
        tracker: The tracking store; one that does not exist yet is not made.
        command: How the program is called.
    """
    store = f"store       {tracker.tracking_uri}"
    known = tracker.iterations()
    if not known:
        lines = [
            f"{store}, which holds no iteration yet",
            f"next        {command} demo",
            f"or          {command} batch release LOG --items ITEMS --to DIR",
        ]
    else:
        last = max(known, key=lambda iteration: iteration.created_at)
        methods = sorted({iteration.name.method for iteration in known})
        lines = [store, f"iterations  {len(known)}, the last: {last.name}, {_state(last)}"]
        for method in methods:
            lines += _best_lines(tracker, known, method)
        lines.append(f"next        {command} {_next(last)}")
    return [printable(line) for line in [*lines, f"help        {command} --help"]]


def _best_lines(tracker: "Tracker", known: "Sequence[Iteration]", method: str) -> list[str]:
    best = best_model(tracker, known, method)
    if best is None:
        return []
    name = best.main_metric.name
    whose = "the initial model" if best.run.batch_id is None else "the model"
    value = cell(best.metrics.get(name))
    return [
        f"best        {whose} of {method}, with {name} {value}:",
        f"            {best.run.model_uri}",
    ]


def _state(iteration: "Iteration") -> str:
    if iteration.improved is None:
        return "not finished"
    return "improved" if iteration.improved else "not improved"


def _next(last: "Iteration") -> str:
    method = shlex.quote(last.name.method)
    if last.improved:
        return f"promote {method}"
    if last.improved is None:
        return f"run {method} DIR   (with the folder of that batch, to go on)"
    return f"run {method} DIR   (with the folder of the next batch)"
