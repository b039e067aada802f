"""Does a search that knows of earlier weeks find better hyper-parameters in as few runs?

    python benchmarks/search.py DATA_FOLDER [--seeds 10] [--embeddings FOLDER]

DATA_FOLDER holds `sessions.jsonl`, `items.jsonl` and `qrels.tsv`, as for `cranfield_judgements.py`.
Of its queries three tenths are held out for good. The sessions of the others are dealt to three
weeks, and half of each week's queries are its test queries. The method is a map of queries'
embeddings, learned from clicks in 24 steps on embeddings made once and cut to 48 dimensions, so
that a run takes a fraction of a second; it has five hyper-parameters. The main metric is NDCG@10 by
the clicks of the test queries. Each week starts from the initial model, so that all searches are
about the same thing.

Printed is, for 4, 8 and 16 runs a week, what the best run of each of the last two weeks comes to,
under each search: by the main metric, and by judged NDCG@10 of the held-out queries; the shipped
search's is beside each other one's, with 95 % intervals over the seeds. Then what pruning saves of
the training steps, and loses of the main metric. The samplers and the pruner are hooktune's own;
the store is left out.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel

import hooktune_search
from collections_to_judge import Floats, Ints, Judged, ndcg, read_collection
from hooktune import Proposal, Search, SearchChoices, SearchRange, Trial
from hooktune.contract.proposal import search_dimensions
from hooktune.evaluation.statistics import paired_interval
from hooktune.iteration.limits import PruneKind
from hooktune.iteration.pruning import Course, Pruner
from hooktune_loop import load_model
from measuring import print_machine, print_table

DIMENSIONS, STEPS, AT_ONCE, EVALUATIONS = 48, 24, 64, 8
WEEKS, RUNS = 3, (4, 8, 16)
HELD_OUT, TESTED = 0.3, 0.5


class Params(BaseModel):
    """The hyper-parameters of the map."""

    learning_rate: Annotated[float, SearchRange(1e-4, 1e-1, log=True)] = 3e-3
    l2: Annotated[float, SearchRange(1e-4, 10, log=True)] = 0.03
    temperature: Annotated[float, SearchRange(0.01, 0.5, log=True)] = 0.1
    kept: Annotated[float, SearchRange(0, 1)] = 0.75
    loss: Annotated[Literal["softmax", "pairs"], SearchChoices(("softmax", "pairs"))] = "softmax"


SPACE = search_dimensions(Params, {})
DEFAULTS = Params().model_dump()


@dataclass(frozen=True, eq=False)
class Shown:
    """S sessions with 20 results each."""

    queries: torch.Tensor
    """S x D."""
    items: torch.Tensor
    """S x 20 x D."""
    clicked: torch.Tensor
    """S x 20."""
    rows: Ints
    """The query of each."""


@dataclass(frozen=True, eq=False)
class Run:
    """What came of one set of hyper-parameters."""

    value: float
    weight: torch.Tensor
    course: Course


@dataclass(eq=False)
class Week:
    """A week's sessions, and the runs on them so far."""

    train: Shown
    test: Shown
    judge: Callable[[torch.Tensor], float]
    seed: int
    runs: dict[str, Run] = field(default_factory=dict)

    def run(self, params: dict[str, Any]) -> Run:
        """Do a run, or give what it came to before."""
        key = repr(sorted(params.items()))
        if key not in self.runs:
            self.runs[key] = fit(self, Params(**params))
        return self.runs[key]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--embeddings", type=Path, help="Where embeddings are kept.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine()
    model = load_model(None, "cpu")
    model.max_seq_length = 128
    judged = read_collection(arguments.data, model, arguments.embeddings)
    compare([weeks_of(judged, seed) for seed in range(arguments.seeds)])


def weeks_of(judged: Judged, seed: int) -> list[Week]:
    """Deal the sessions to weeks, and hold out queries for good."""
    random = np.random.default_rng(seed)
    _, _, axes = np.linalg.svd(judged.items - judged.items.mean(axis=0), full_matrices=False)
    queries, items = (
        torch.from_numpy(np.ascontiguousarray(each @ axes[:DIMENSIONS].T, np.float32))
        for each in (judged.queries, judged.items)
    )
    place = {text: row for row, text in enumerate(judged.texts)}
    of_item = np.array([place[text] for text in judged.sessions.items.to_pylist()])
    order = random.permutation(len(queries))
    held_out = order[: round(HELD_OUT * len(order))]
    gains = judged.gains[held_out]

    def judge(weight: torch.Tensor) -> float:
        asked = queries[held_out] + queries[held_out] @ weight
        return float(np.nanmean(ndcg((asked @ items.T).numpy(), gains)))

    sessions = judged.sessions
    usable = np.flatnonzero(
        ~np.isin(sessions.query_index, held_out)
        & sessions.not_irrelevant
        & (sessions.lengths == 20)
    )
    weeks = []
    for number, part in enumerate(np.array_split(random.permutation(usable), WEEKS)):
        asked = np.unique(sessions.query_index[part])
        tested = random.permutation(asked)[: round(TESTED * len(asked))]
        is_tested = np.isin(sessions.query_index[part], tested)

        def shown(chosen: Ints) -> Shown:
            some = sessions.take(chosen)
            found = torch.from_numpy(of_item[some.item_index].reshape(len(some), 20).copy())
            clicked = torch.from_numpy(some.clicked.reshape(len(some), 20).astype(np.float32))
            return Shown(queries[some.query_index.copy()], items[found], clicked, some.query_index)

        weeks.append(
            Week(shown(part[~is_tested]), shown(part[is_tested]), judge, WEEKS * seed + number)
        )
    return weeks


def fit(week: Week, params: Params) -> Run:
    """Learn a map, looking at the test queries eight times on the way; the last look counts."""
    generator = torch.Generator().manual_seed(week.seed)
    weight = torch.zeros(DIMENSIONS, DIMENSIONS, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=params.learning_rate)
    course, learned = Course(), weight.detach()
    shown = week.train
    for step in range(1, STEPS + 1):
        some = torch.randint(len(shown.rows), (AT_ONCE,), generator=generator)
        scores = scores_of(shown.queries[some], shown.items[some], weight) / params.temperature
        clicked = shown.clicked[some]
        value = loss_of(scores, clicked, params.loss) + params.l2 * weight.square().sum()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if step % (STEPS // EVALUATIONS) == 0:
            with torch.no_grad():
                learned = params.kept * weight
                course.add(step / STEPS, by_query(week.test, learned))
    return Run(float(course.values[-1].mean()), learned, course)


def scores_of(queries: torch.Tensor, items: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.einsum("sd,sid->si", queries + queries @ weight, items)


def loss_of(scores: torch.Tensor, clicked: torch.Tensor, kind: str) -> torch.Tensor:
    if kind == "softmax":
        return -(scores.log_softmax(1) * clicked).sum(1).div(clicked.sum(1)).mean()
    differences = scores[:, :, None] - scores[:, None, :]
    pairs = clicked[:, :, None] * (1 - clicked[:, None, :])
    return (torch.nn.functional.softplus(-differences) * pairs).sum() / pairs.sum()


def by_query(shown: Shown, weight: torch.Tensor) -> Floats:
    """Return NDCG@10 by clicks for each query, the mean over its sessions."""
    scores = scores_of(shown.queries, shown.items, weight).numpy()
    values = ndcg(scores, shown.clicked.numpy())
    _, rows = np.unique(shown.rows, return_inverse=True)
    return np.bincount(rows, weights=values) / np.bincount(rows)


def search_week(week: Week, sampler: str, runs: int, earlier: Iterable[Trial]) -> list[Trial]:
    """Do so many runs as a search proposes them."""
    earlier, trials = tuple(earlier), list[Trial]()
    for number in range(runs):
        taken = [trial.params for trial in trials]
        for attempt in range(50):
            known = Search(
                SPACE, DEFAULTS, tuple(trials), earlier, number, runs, week.seed, attempt
            )
            proposal = _proposed(sampler, known)
            params = {**DEFAULTS, **proposal.values}
            if params not in taken:
                break
        trials.append(Trial(params, "finished", week.run(params).value))
    return trials


def _proposed(sampler: str, search: Search) -> Proposal:
    if sampler == "random after best 3":
        repeated = search.earlier[:3]
        if search.number < len(repeated):
            return Proposal(repeated[search.number].params, "last week")
        sampler = "random"
    proposal = hooktune_search.propose(sampler, search)
    assert proposal is not None
    return proposal


SAMPLERS = ("warm", "random", "random after best 3", "tpe")


def compare(worlds: list[list[Week]]) -> None:
    """Print what each search comes to in the last two weeks, and what pruning would have saved."""
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    pruned: dict[PruneKind, list[tuple[float, float]]] = {"queries": [], "median": []}
    for weeks in worlds:
        for sampler in SAMPLERS:
            for runs in RUNS:
                best, earlier = [], tuple[Trial, ...]()
                for week in weeks:
                    trials = search_week(week, sampler, runs, earlier)
                    ranked = sorted(trials, key=lambda trial: -(trial.value or 0))
                    earlier = (*ranked, *earlier)
                    first = week.run(ranked[0].params)
                    best.append((first.value, week.judge(first.weight)))
                    if sampler == "warm" and runs == max(RUNS):
                        for kind, of_kind in pruned.items():
                            of_kind.append(with_pruning(week, trials, kind))
                means = np.mean(best[1:], axis=0)
                found.setdefault((sampler, runs), []).append((float(means[0]), float(means[1])))
    for place, name in enumerate(("main metric", "judged NDCG@10 of held-out queries")):
        rows = []
        for sampler in SAMPLERS:
            row: dict[str, object] = {"search": sampler}
            for runs in RUNS:
                own, warm = (
                    np.array([each[place] for each in found[which, runs]])
                    for which in (sampler, "warm")
                )
                told = paired_interval(own, warm, np.ones(len(own), np.int64))
                beside = "" if sampler == "warm" else f"  {told}"
                row[f"{runs} runs"] = f"{own.mean():.4f}{beside}"
            rows.append(row)
        print(f"\n{name}: the search's mean, and how far the shipped search is above it")
        print_table(rows)
    rows = []
    for kind, of_kind in pruned.items():
        saved, lost = np.array(of_kind).T
        rows.append(
            {
                "by": kind,
                "steps saved": f"{saved.mean():.0%}",
                "main metric lost": f"{lost.mean():.2%}",
                "at most": f"{lost.max():.2%}",
            }
        )
    print(f"\npruning, {max(RUNS)} runs a week")
    print_table(rows)


def with_pruning(week: Week, trials: list[Trial], kind: PruneKind) -> tuple[float, float]:
    """Return the share of the steps that pruning saves, and the share of the metric it loses."""
    whole: list[Run] = []
    done = 0.0
    for trial in trials:
        run = week.run(trial.params)
        others = [each.course for each in sorted(whole, key=lambda each: -each.value)]
        so_far, pruner = Course(), Pruner(kind, others)
        for share, values in zip(run.course.shares, run.course.values, strict=True):
            so_far.add(share, values)
            if pruner.reason(so_far):
                break
        else:
            whole.append(run)
        done += so_far.shares[-1]
    best = max(trial.value or 0.0 for trial in trials)
    return 1 - done / len(trials), 1 - max(run.value for run in whole) / best


if __name__ == "__main__":
    main()
