"""What does tuning bring to queries that no log has held? By judgements, over all items.

    python benchmarks/held_out_gain.py DATA_FOLDER                        hours on two cores
    python benchmarks/held_out_gain.py DATA_FOLDER --contenders "Query Map Method"       minutes
    python benchmarks/held_out_gain.py --generated few-queries            a collection made up here

The data folder is one that `cranfield_judgements.py` takes: `sessions.jsonl`, `items.jsonl` and
`qrels.tsv`. The queries are divided into folds, or with `--groups FILE` (query, tab, group) groups
of them are; each fold is held out once, so that each query is measured once for each seed. Each
contender learns from the sessions of the other folds alone, and NDCG@10 of the judgements is
compared with the starting model's, query by query. Intervals are those of the mean over queries
under resampling of queries (paired bootstrap, 95 %).

Installed methods are called as the host calls them, on all sessions of the other folds, with their
default parameters. Nothing is measured meanwhile, so that no contender chooses by test queries. The
trainer of sentence-transformers (MultipleNegativesRankingLoss) gets the CPU time that the Default
Fine Tuning Method took on the same fold, or `--cpu-seconds`.

The starting model's embeddings are made once and are the same for all; a method that asks for them
gets them at once, and the CPU seconds of a contender are those beside this encoding, and beside
that of other texts by the starting model.
"""

import argparse
import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from collections_to_judge import Judged, bootstrap, folds_of, generated, read_collection
from contenders import save_tiny_model
from equal_time import plan_for
from fits import FITS
from generated_collections import SHAPES
from hooktune import MainMetric, TrainingBatch
from hooktune.contract.sessions import Sessions
from hooktune.evaluation.baseline import always_frozen
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.opening import open_host
from hooktune_loop import METHOD, load_model
from measuring import Pace, Phases, median, now, print_machine, print_table
from product_search import Parts
from silent_run import SilentRun

TRAINER = "st-trainer"
BATCH_ID = "0" * 24


@dataclass(frozen=True)
class Fitted:
    """A contender's model of one fold."""

    model: SentenceTransformer
    cpu: float
    """CPU seconds of its training, beside what the starting model makes of the texts."""


def main() -> None:
    arguments = _arguments()
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.quick:
            arguments.model, arguments.seeds = save_tiny_model(folder), 1
        model = load_model(arguments.model, arguments.device)
    model.max_seq_length = min(arguments.max_tokens, model.max_seq_length or arguments.max_tokens)
    before = now()
    judged = (
        read_collection(arguments.data, model, arguments.embeddings)
        if arguments.generated is None
        else generated(arguments.generated, model, arguments.embeddings)
    )
    sessions = judged.sessions
    print(
        f"{len(judged.queries)} queries, {len(judged.items)} items, {len(sessions)} sessions, "
        f"{int(sessions.not_irrelevant.sum())} with a click; NDCG@10 of the starting model "
        f"{np.nanmean(judged.before):.4f}; what was not kept of its embeddings took "
        f"{(now() - before).cpu:.0f} CPU s"
    )
    found = {name: _Found(arguments.seeds, len(judged.queries)) for name in arguments.contenders}
    for seed in range(arguments.seeds):
        for fold in folds_of(judged, arguments.folds, seed, arguments.groups):
            train = _training_sessions(judged, fold, arguments.training_queries, seed)
            cpu_seconds = arguments.cpu_seconds
            for name, results in found.items():
                fitted = fit(name, model, judged, train, seed, cpu_seconds)
                if name == METHOD and cpu_seconds is None:
                    cpu_seconds = fitted.cpu
                results.cpu.append(fitted.cpu)
                results.gains[seed, fold] = judged.after(fitted.model, fold) - judged.before[fold]
        print_table([_row(name, reports, seed) for name, reports in found.items()])


@dataclass(eq=False)
class _Found:
    seeds: int
    queries: int

    def __post_init__(self) -> None:
        self.gains = np.full((self.seeds, self.queries), np.nan)
        """For each seed and query, by how much its NDCG@10 rose."""
        self.cpu: list[float] = []


def _row(name: str, found: _Found, seed: int) -> dict[str, object]:
    """Return the gains of this seed, and of all until now, each query counting by its mean."""
    until_now = np.mean(found.gains[: seed + 1], axis=0)
    return {
        "contender": name,
        "seed": seed,
        "gain": "{:+.4f} [{:+.4f}, {:+.4f}]".format(*bootstrap(found.gains[seed])),
        "until now": "{:+.4f} [{:+.4f}, {:+.4f}]".format(*bootstrap(until_now)),
        "CPU s a fold": median(found.cpu),
    }


def fit(
    name: str,
    model: SentenceTransformer,
    judged: Judged,
    train: Sessions,
    seed: int,
    cpu_seconds: float | None,
) -> Fitted:
    """Let a contender tune a copy of the model on some sessions."""
    tuned = copy.deepcopy(model)
    if name == TRAINER:
        if cpu_seconds is None:
            raise SystemExit(f"{TRAINER} needs --cpu-seconds, or {METHOD} before it.")
        plan = plan_for(FITS[TRAINER], tuned, Parts(train, train), cpu_seconds)
        drawn = np.random.default_rng(seed).permutation(len(train))[: plan.sessions]
        pace, phases = Pace(cpu_budget=cpu_seconds), Phases()
        FITS[TRAINER](tuned, Parts(train.take(drawn), train), pace, phases, plan.epochs)
        return Fitted(tuned, (now() - pace.marks[0]).cpu)
    host = open_host(read_catalogue(), name)
    space = host.hyper_parameters()
    params = None if space is None else space()
    # What frozen layers make of a text is a part of what the starting model makes of it.
    encoder = judged.encoder(model, always_frozen(model, [params]))
    batch = TrainingBatch(BATCH_ID, train, judged.similarities(train))
    run = SilentRun(seed, host.main_metric() or MainMetric(), encoder)
    with judged.remembered(tuned):
        before = now()
        tuned = host.fit_batch(run, tuned, batch, params)
        return Fitted(tuned, (now() - before).cpu - sum(encoder.encoding))


def _training_sessions(judged: Judged, fold: Any, most_queries: int | None, seed: int) -> Sessions:
    """Return the sessions of the queries that are not held out, or of so many of these."""
    rows = np.setdiff1d(np.arange(len(judged.queries)), fold)
    if most_queries is not None:
        clicked = np.unique(judged.sessions.query_index[judged.sessions.not_irrelevant])
        known = np.intersect1d(rows, clicked)
        rows = np.random.default_rng(seed).permutation(known)[:most_queries]
    return judged.sessions.take(np.isin(judged.sessions.query_index, rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="the data folder")
    parser.add_argument("--generated", choices=[*SHAPES], help="a collection made up here instead")
    installed = [entry.name for entry in read_catalogue().available("method")]
    parser.add_argument("--contenders", nargs="+", default=[*installed, TRAINER])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3, help="how often folds are drawn")
    parser.add_argument("--groups", type=Path, help="queries of one group are held out together")
    parser.add_argument("--training-queries", type=int, help="learn from so many queries only")
    parser.add_argument("--cpu-seconds", type=float, help="what the trainer gets for a fold")
    parser.add_argument("--max-tokens", type=int, default=128, help="where texts are cut off")
    parser.add_argument("--embeddings", type=Path, help="keep the starting model's ones here")
    parser.add_argument("--model", help="the folder of another model than the methods' own")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="try it: tiny model, one seed")
    arguments = parser.parse_args()
    if (arguments.data is None) == (arguments.generated is None):
        parser.error("name either a data folder or a generated collection")
    return arguments


if __name__ == "__main__":
    main()
