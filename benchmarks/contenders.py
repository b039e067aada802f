"""How fast the Default Fine Tuning Method trains, beside other ways to do the same.

    python benchmarks/contenders.py                   three rounds, about an hour on two cores
    python benchmarks/contenders.py --quick           a look at everything, with a tiny model
    python benchmarks/contenders.py --workload many --contenders plain hooktune

All contenders get the same made-up product-search sessions of 20 results (`product_search.py`),
each in a process of its own, in turn: A B C A B C. Two workloads: `few` queries, whose sessions
show the same items over and over, `many` queries, each of which occurs once, and `repeated` ones,
each of which occurs four times. Nobody learns from sessions without a
click, of which `few` has some; hooktune measures a few of them in each step.

| contender | what it does |
|---|---|
| untuned | loads the model and measures it, so that this can be told from the rest |
| plain | a plain torch loop, all layers trained, one epoch: the reference (`plain_loop.py`) |
| hooktune | the method with the same work: all layers, all results, the same mini-batches |
| hooktune-float32 | the same in float32, where `hooktune` takes bfloat16 if the machine has it |
| plain-frozen | the plain loop, the lower 4 layers frozen and their outputs kept, several epochs |
| hooktune-frozen | the method, the lower 4 layers frozen, several epochs |
| hooktune-frozen-float32 | the same in float32 |
| hooktune-default | the method by pairs alone, else by its defaults, not measured meanwhile |
| hooktune-tracked | `hooktune`, as a whole run: released batch, SQLite store, best model kept |
| st-trainer | sentence-transformers' Trainer on the triplets of the sessions (`st_trainer.py`) |

The last gets a quarter of the sessions, since it would take very long over all, unless
`--trainer-sessions` says otherwise: its speed is that of a session, its quality is of a quarter.

Columns: CPU seconds of training for a session with a click, over all epochs, and over the epochs
after the first alone; how many times as fast as `plain` (over all of its own epochs) and as
`st-trainer` that is; CPU and wall seconds and peak memory of the whole process, imports and
evaluation with them; NDCG@10 of the clicked results on held-out queries after training, by
hooktune's metric; that of `untuned` is from before. All are medians of the rounds. A second table
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
    "untuned", "plain", "hooktune", "hooktune-float32", "plain-frozen", "hooktune-frozen",
    "hooktune-frozen-float32", "hooktune-default", "hooktune-tracked", "st-trainer",
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
    reports: dict[str, list[dict[str, Any]]] = {contender: [] for contender in arguments.contenders}
    for _ in range(arguments.rounds):
        for contender in arguments.contenders:
            command = ["--contender", contender, "--workload", name, "--device", arguments.device]
            command += ["--sessions", str(workload.sessions)]
            command += ["--model", arguments.model] if arguments.model else []
            if arguments.trainer_sessions:
                command += ["--trainer-sessions", str(arguments.trainer_sessions)]
            report = in_own_process(__file__, command)
            reports[contender].append(report)
            speed, process = cpu_per_session(report), report["process"]
            print(f"{contender}: {speed:.3f} CPU s a session; {process}", flush=True)
    print()
    print_table([row(contender, reports) for contender in reports])
    for kind in ("cpu", "wall"):
        print_table([phases_row(contender, found, kind) for contender, found in reports.items()])


def cpu_per_session(report: dict[str, Any]) -> float:
    """Return the CPU seconds of training for a session, over all epochs."""
    if not report["sessions"]:
        return math.nan
    phases = report["phases"]
    spent = sum(phases[phase]["cpu"] for phase in TRAINING if phase in phases)
    return float(spent / report["sessions"])


def later_cpu_per_session(report: dict[str, Any]) -> float:
    """Return the CPU seconds of training for a session, over the epochs after the first."""
    return report["later"]["cpu"] / report["later_sessions"] if report["later"] else math.nan


def row(name: str, reports: dict[str, list[dict[str, Any]]]) -> dict[str, object]:
    """Return a row of the table: medians over the rounds, ratios being of one round each."""
    own = reports[name]
    speed = [cpu_per_session(report) for report in own]
    later = [later_cpu_per_session(report) for report in own]

    def times(reference: str, spent: list[float]) -> float:
        beside = map(cpu_per_session, reports.get(reference, []))
        return median(other / cost for other, cost in zip(beside, spent, strict=False))

    return {
        "contender": name,
        "sessions": round(median(report["sessions"] for report in own)),
        "CPU s a session": median(speed),
        "times plain": times("plain", speed),
        "times st-trainer": times("st-trainer", speed),
        "later epochs": median(later),
        "later, times plain": times("plain", later),
        "process CPU s": median(report["process"]["cpu"] for report in own),
        "wall s": median(report["process"]["wall"] for report in own),
        "peak GB": median(report["peak"] for report in own) / 1e9,
        "NDCG@10": median(report["ndcg"] for report in own),
    }


def phases_row(name: str, reports: Sequence[dict[str, Any]], kind: str) -> dict[str, object]:
    """Return a row of the median CPU or wall seconds of each phase."""
    spent = {
        phase: median(report["phases"].get(phase, {}).get(kind) for report in reports)
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
    from hooktune.training.scoring import score_results
    from hooktune_loop import load_model
    from hooktune_metrics.ranking import ranking_quality

    parts = made_up_parts(workload)
    if name == "st-trainer":
        count = arguments.trainer_sessions or -(-len(parts.train) // TRAINER_SHARE)
        parts = Parts(parts.train.take(np.arange(count)), parts.test)
    model = load_model(arguments.model, arguments.device)
    phases.end("load")
    epochs = FROZEN_EPOCHS if "-frozen" in name else 1
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
        "ndcg": float(np.nanmean(quality["ndcg_at_10"])),
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
    parser.add_argument("--sessions", type=int, help="training sessions; few: 160, others: 200")
    parser.add_argument("--trainer-sessions", type=int, help="how many of them st-trainer gets")
    parser.add_argument("--model", help="the folder of another model than the method's own")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="try it: tiny model, one round")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
