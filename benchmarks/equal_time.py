"""How well do contenders rank held-out queries after equal CPU time?

    python benchmarks/equal_time.py DATA_FOLDER                  over an hour on two cores
    python benchmarks/equal_time.py DATA_FOLDER --quick          a look at it, with a tiny model

The data folder is one that `cranfield_judgements.py` takes: `sessions.jsonl`, `items.jsonl` and
`qrels.tsv`. Each contender of `contenders.py` trains for `--cpu-seconds`, in a process of its own
and in turn, and is then measured on queries that it has not seen: by NDCG@10 of the clicked results
among those shown, and by NDCG@10 of the relevance judgements among all items. Each round holds out
other queries.

So that each contender's learning rate rises and falls within the time, as whoever has so much time
would set it up, two steps are tried first, on a copy of the model, to tell how many sessions it can
afford: that many, drawn at random, are what it gets, in several epochs if there are too few. The
trial is not counted, and neither are imports, measuring, and the similarities before tuning, which
hooktune's metrics need and its training does not. What is computed once for frozen layers counts.
"""

import argparse
import copy
import json
import math
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contenders import save_tiny_model
from cranfield_judgements import Grades, all_similarities, judged_ndcg, read_grades, read_items
from hooktune import Sessions
from hooktune.contract.sessions import Floats
from hooktune.contract.splits import held_out_sessions
from hooktune.data.release import open_batch
from hooktune.iteration.log_release import release_batch
from measuring import Pace, Phases, in_own_process, median, now, print_machine, print_table
from product_search import Parts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from fits import Fit

CONTENDERS = ("plain", "plain-frozen", "hooktune-default", "st-trainer")
FURTHER = ("hooktune", "hooktune-frozen")
# More held-out queries than by default, since the mean of a few dozen moves by chance.
TEST_RATIO = 0.4
TRIED_STEPS = 2


@dataclass(frozen=True)
class Plan:
    """What a contender can afford."""

    sessions: int
    epochs: int


def main() -> None:
    arguments = _arguments()
    if arguments.report is not None:
        arguments.report.write_text(json.dumps(contend(arguments)), encoding="utf-8")
        return
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            arguments.model, arguments.cpu_seconds, arguments.rounds = save_tiny_model(folder), 4, 1
        untuned = Path(folder, "untuned.npy")
        save_untuned(arguments, untuned)
        reports: dict[str, list[dict[str, Any]]] = {
            contender: [] for contender in arguments.contenders
        }
        for seed in range(arguments.rounds):
            for name, found in reports.items():
                command = [str(arguments.data), "--contender", name, "--seed", str(seed)]
                command += ["--cpu-seconds", str(arguments.cpu_seconds)]
                command += ["--device", arguments.device, "--untuned", str(untuned)]
                command += ["--max-tokens", str(arguments.max_tokens)]
                command += ["--model", arguments.model] if arguments.model else []
                found.append(in_own_process(__file__, command))
    print(f"\n{arguments.cpu_seconds:.0f} CPU seconds, medians of {arguments.rounds} rounds")
    print_table([_row(name, found) for name, found in reports.items()])
    for measure in ("clicks", "judged"):
        print(f"the gain of NDCG@10 by {measure} in each round")
        print_table([_gains(name, measure, found) for name, found in reports.items()])


def save_untuned(arguments: argparse.Namespace, file: Path) -> None:
    """Save the similarities under the untuned model, which are the same for all contenders."""
    grades = read_grades(arguments.data / "qrels.tsv")
    items = read_items(arguments.data / "items.jsonl")
    np.save(file, all_similarities(_untuned(arguments), items, grades))


def _untuned(arguments: argparse.Namespace) -> "SentenceTransformer":
    from hooktune_loop import load_model

    model = load_model(arguments.model, arguments.device)
    model.max_seq_length = min(arguments.max_tokens, model.max_seq_length or arguments.max_tokens)
    return model


def _row(name: str, reports: list[dict[str, Any]]) -> dict[str, object]:
    scores = {
        f"{measure} {when}": median(report[when][measure] for report in reports)
        for measure in ("clicks", "judged")
        for when in ("before", "after")
    }
    return {
        "contender": name,
        "CPU s": median(report["training"]["cpu"] for report in reports),
        "sessions learned": round(median(report["sessions"] for report in reports)),
        **scores,
    }


def _gains(name: str, measure: str, reports: list[dict[str, Any]]) -> dict[str, object]:
    gains = [report["after"][measure] - report["before"][measure] for report in reports]
    rounds = {f"round {place}": gain for place, gain in enumerate(gains, start=1)}
    return {"contender": name, **rounds, "median": median(gains)}


def contend(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one contender for the time there is, in this process, and report on it."""
    from fits import FITS

    with tempfile.TemporaryDirectory() as folder:
        released = Path(folder, "batch")
        release_batch(arguments.data / "sessions.jsonl", arguments.data / "items.jsonl", released)
        sessions = open_batch(released).sessions
    in_test = held_out_sessions(sessions, TEST_RATIO, arguments.seed)
    parts = Parts(sessions.take(~in_test), sessions.take(in_test))
    grades = read_grades(arguments.data / "qrels.tsv")
    items = read_items(arguments.data / "items.jsonl")
    model, fit = _untuned(arguments), FITS[arguments.contender]
    plan = plan_for(fit, model, parts, arguments.cpu_seconds)
    drawn = np.random.default_rng(arguments.seed).permutation(len(parts.train))[: plan.sessions]
    pace = Pace(cpu_budget=arguments.cpu_seconds)
    learned = fit(model, Parts(parts.train.take(drawn), parts.test), pace, Phases(), plan.epochs)
    training = now() - pace.marks[0]
    return {
        "training": asdict(training),
        "sessions": learned,
        "before": measured(np.load(arguments.untuned), items, grades, parts.test),
        "after": measured(all_similarities(model, items, grades), items, grades, parts.test),
    }


def plan_for(fit: "Fit", model: "SentenceTransformer", parts: Parts, cpu_seconds: float) -> Plan:
    """Find out how many training sessions can be learned from in so many CPU seconds."""
    pace = Pace(step_budget=TRIED_STEPS)
    learned = fit(copy.deepcopy(model), parts, pace, Phases(), 1)
    first, last = pace.marks[1], pace.marks[-1]
    of_step = (last - first).cpu / (pace.steps - 1)
    # What the first step took beyond a step: tokens, and the outputs of frozen layers.
    once = max(0.0, (first - pace.marks[0]).cpu - of_step)
    share = (cpu_seconds - once) / of_step * learned / pace.steps
    share /= parts.train.not_irrelevant.sum()
    epochs = max(1, math.ceil(share))
    return Plan(max(1, math.floor(len(parts.train) * share / epochs)), epochs)


def measured(
    similarities: Floats, items: dict[str, str], grades: Grades, test: Sessions
) -> dict[str, float]:
    """Return NDCG@10 on held-out queries, by clicks and by judgements."""
    from hooktune_metrics.ranking import ranking_quality

    row = {query: place for place, query in enumerate(grades)}
    column = {text: place for place, text in enumerate(items.values())}
    rows = np.array([row.get(query, -1) for query in test.queries.to_pylist()])
    columns = np.array([column[text] for text in test.items.to_pylist()])
    of_result = rows[test.query_index[test.session_index]]
    if (of_result < 0).any():
        raise SystemExit("A session's query is not among those that were judged.")
    scores = similarities[of_result, columns[test.item_index]]
    held_out = {test.queries[place].as_py() for place in test.query_index.tolist()}
    judged = judged_ndcg(similarities, items, grades)
    return {
        "clicks": float(np.nanmean(ranking_quality(test, scores)["ndcg_at_10"])),
        "judged": float(np.mean([judged[query] for query in judged.keys() & held_out])),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="the data folder")
    parser.add_argument("--cpu-seconds", type=float, default=600.0)
    known = (*CONTENDERS, *FURTHER)
    parser.add_argument("--contenders", nargs="+", choices=known, default=CONTENDERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-tokens", type=int, default=256, help="where texts are cut off")
    parser.add_argument("--model", help="the folder of another model than the method's own")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="try it: tiny model, 4 CPU seconds")
    parser.add_argument("--contender", choices=known, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--untuned", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
