"""How fast the Default Fine Tuning Method trains, beside other ways to do the same.

    python benchmarks/contenders.py                   three rounds, about an hour on two cores
    python benchmarks/contenders.py --quick           a look at everything, with a tiny model
    python benchmarks/contenders.py --workload many --contenders plain hooktune

All contenders get the same made-up product-search sessions of 20 results (`product_search.py`),
each in a process of its own, in turn: A B C A B C. Two workloads: `few` queries, whose sessions
show the same items over and over, and `many` queries, each of which occurs once. With more
`--sessions`, the queries of `many` occur several times.

| contender | what it does |
|---|---|
| untuned | loads the model and measures it, so that this can be told from the rest |
| plain | a plain torch loop, all layers trained, one epoch: the reference (`plain_loop.py`) |
| hooktune | the method with the same work: all layers, all results, the same mini-batches |
| plain-frozen | the plain loop, the lower 4 layers frozen and their outputs kept, several epochs |
| hooktune-frozen | the method, the lower 4 layers frozen, several epochs |
| hooktune-default | the method as it is shipped, but not measured meanwhile |
| hooktune-tracked | `hooktune`, as a whole run: released batch, SQLite store, best model kept |
| st-trainer | sentence-transformers' Trainer on the triplets of the sessions (`st_trainer.py`) |

The last gets a quarter of the sessions, since it would take very long over all, unless
`--trainer-sessions` says otherwise: its speed is that of a session, its quality is of a quarter.

Columns: CPU seconds of training for a session with a click, over all epochs, and over the epochs
after the first alone; how many times as fast as `plain` both are; CPU and wall seconds and peak
memory of the whole process, imports and evaluation with them; NDCG@10 of the clicked results on
held-out queries after training, by hooktune's metric. All are medians of the rounds. A second table
divides the CPU seconds into phases: `baseline` is what hooktune computes once for all runs of an
iteration, `first pass` is the frozen layers' of `plain-frozen`; the method's own is in `training`.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from measuring import Pace, Phases, in_own_process, median, print_machine, print_table
from product_search import WORKLOADS, Parts, Workload, made_up_parts

FROZEN_EPOCHS = 4
TRAINER_SHARE = 4
TRAINING = ("first pass", "training")
PHASES = ("load", "baseline", "first pass", "training", "evaluation")
CONTENDERS = (
    "untuned", "plain", "hooktune", "plain-frozen", "hooktune-frozen", "hooktune-default",
    "hooktune-tracked", "st-trainer",
)  # fmt: skip


def main() -> None:
    arguments = _arguments()
    if arguments.report is not None:
        report = contend(arguments)
        arguments.report.write_text(json.dumps(report), encoding="utf-8")
        return
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            arguments.model, arguments.sessions, arguments.rounds = save_tiny_model(folder), 40, 1
        for name in arguments.workload:
            compare(name, arguments)


def save_tiny_model(folder: str) -> str:
    """Save a model of six layers that is made in a moment, and return its folder."""
    from hooktune.testing import tiny_model

    tiny_model(layers=6).save_pretrained(folder)
    return folder


def compare(name: str, arguments: argparse.Namespace) -> None:
    """Let the contenders run in turn on a workload, and print what they took."""
    workload = _workload(name, arguments)
    print(f"## {name}: {workload}, {arguments.rounds} rounds", flush=True)
    reports: dict[str, list[dict[str, Any]]] = {each: [] for each in arguments.contenders}
    for _ in range(arguments.rounds):
        for contender in arguments.contenders:
            command = ["--contender", contender, "--workload", name, "--device", arguments.device]
            command += ["--sessions", str(workload.sessions)]
            command += ["--model", arguments.model] if arguments.model else []
            if arguments.trainer_sessions:
                command += ["--trainer-sessions", str(arguments.trainer_sessions)]
            reports[contender].append(in_own_process(__file__, command))
    print()
    speed = {each: speeds(found) for each, found in reports.items()}
    plain = speed.get("plain", (math.nan,))[0]
    print_table([row(each, found, speed[each], plain) for each, found in reports.items()])
    for kind in ("cpu", "wall"):
        print_table([phases_row(each, found, kind) for each, found in reports.items()])


def speeds(reports: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Return the CPU seconds of a session over all epochs, and over those after the first."""
    later = [each for each in reports if each["later"]]
    return (
        median(
            sum(each["phases"][phase]["cpu"] for phase in TRAINING if phase in each["phases"])
            / each["sessions"]
            for each in reports
            if each["sessions"]
        ),
        median(each["later"]["cpu"] / each["later_sessions"] for each in later),
    )


def row(
    name: str, reports: Sequence[dict[str, Any]], speed: tuple[float, float], plain: float
) -> dict[str, object]:
    """Return a row of the table: medians over the rounds.

    Args:
        name: The contender.
        reports: What its processes reported.
        speed: What it takes for a session, altogether and in later epochs.
        plain: What `plain` takes for one.
    """
    return {
        "contender": name,
        "sessions": round(median(each["sessions"] for each in reports)),
        "CPU s a session": speed[0],
        "later epochs": speed[1],
        "times as fast": plain / speed[0],
        "later epochs, times": plain / speed[1],
        "process CPU s": median(each["process"]["cpu"] for each in reports),
        "wall s": median(each["process"]["wall"] for each in reports),
        "peak GB": median(each["peak"] for each in reports) / 1e9,
        "NDCG@10": median(each["ndcg"] for each in reports),
    }


def phases_row(name: str, reports: Sequence[dict[str, Any]], kind: str) -> dict[str, object]:
    """Return a row of the median CPU or wall seconds of each phase."""
    spent = {
        phase: median(each["phases"].get(phase, {}).get(kind) for each in reports)
        for phase in PHASES
    }
    return {f"{kind} seconds": name, **spent}


def contend(arguments: argparse.Namespace) -> dict[str, Any]:
    """Do the work of one contender in this process and report on it."""
    phases, pace = Phases(), Pace()
    name, workload = arguments.contender, _workload(arguments.workload[0], arguments)
    if name == "hooktune-tracked":
        return contend_tracked(workload, phases, arguments)
    # Imported here, so that the parent stays small and each process counts its imports.
    from fits import FITS, steps_per_epoch
    from hooktune.encoding import score_results
    from hooktune_loop import load_model
    from hooktune_metrics.ranking import ranking_quality

    parts = made_up_parts(workload)
    if name == "st-trainer":
        count = arguments.trainer_sessions or -(-len(parts.train) // TRAINER_SHARE)
        parts = Parts(parts.train.take(np.arange(count)), parts.test)
    model = load_model(arguments.model, arguments.device)
    phases.end("load")
    epochs = FROZEN_EPOCHS if name.endswith("-frozen") else 1
    sessions = 0.0
    if name != "untuned":
        sessions = FITS[name](model, parts, pace, phases, epochs)
        phases.end("training")
    quality = ranking_quality(parts.test, score_results(model, parts.test))
    phases.end("evaluation")
    return {
        "sessions": sessions,
        "later_sessions": sessions / epochs * (epochs - 1),
        "later": asdict(pace.after(steps_per_epoch(parts))) if epochs > 1 else None,
        "phases": {phase: asdict(cost) for phase, cost in phases.costs.items()},
        "ndcg": quality["ndcg_at_10"],
    }


def contend_tracked(
    workload: Workload, phases: Phases, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Do the work of `hooktune` as a whole run."""
    from hooktune_loop import ALL_LAYERS
    from tracked_run import run_tracked

    with tempfile.TemporaryDirectory() as folder:
        result = run_tracked(
            workload, Path(folder), phases, ALL_LAYERS, arguments.model, arguments.device
        )
    train = made_up_parts(workload).train
    return {
        "sessions": int(train.not_irrelevant.sum()),
        "later": None,
        "phases": {phase: asdict(cost) for phase, cost in phases.costs.items()},
        "ndcg": result.runs[-1].metrics["test_ndcg_at_10"],
    }


def _workload(name: str, arguments: argparse.Namespace) -> Workload:
    workload = WORKLOADS[name]
    return workload.of(arguments.sessions or workload.sessions)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workload", nargs="+", choices=WORKLOADS, default=[*WORKLOADS])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, help="training sessions; few: 160, many: 200")
    parser.add_argument("--trainer-sessions", type=int, help="how many of them st-trainer gets")
    parser.add_argument("--model", help="the folder of another model than the method's own")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="try it: tiny model, one round")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
