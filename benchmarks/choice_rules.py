"""Which rule chooses the best of some runs? And what do test queries and the holdout say of it?

    python benchmarks/choice_rules.py DATA_FOLDER [--splits 20] [--embeddings FOLDER]

The data folder is one that `cranfield_judgements.py` takes. In each split two queries of ten are
the test queries, four are unseen by every choice, and the rest is trained on. Runs are query maps,
held back more or less and gone to half of the way, all of it or twice; each rule chooses one by the
clicks of the test queries. As hooktune chooses, the starting model competes; since a map of queries
seldom moves clicked results nearer, it often wins by distance shift, and so each rule is also shown
where it chooses among the runs alone. The truth is NDCG@10 by judgements over all
items, of the four tenths that nobody has seen; a rule's regret is how far its choice is below the
best of the runs and the starting model.

Of the unseen queries one half is the holdout, and the other one what both are to foretell: the
second table has how much better than there the chosen run looks on the test queries, which chose
it, and on the holdout.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from collections_to_judge import Judged, ndcg, read_collection
from hooktune import MainMetric, Sessions
from hooktune.contract.metric import DEFAULT_GUARDS, GAP_METRIC, RANKING_METRIC, with_test_prefix
from hooktune.contract.splits import HOLDOUT, TEST, TRAIN, parts_of_sessions
from hooktune.evaluation.evidence import held_back_by, metric_intervals
from hooktune.evaluation.query_figures import QueryFigures, query_figures
from hooktune_default.targets import click_targets
from hooktune_loop import load_model
from hooktune_metrics import compute_metrics
from hooktune_query_map.fit import fit_map, parts_of
from hooktune_query_map.losses import Evidence, mapped
from measuring import print_machine, print_table

L2 = (0.0, 0.06, 0.5)
STEPS = (0.5, 1.0, 2.0)
SHIFT = MainMetric().name
JUDGED = "judged NDCG@10"

Floats = np.ndarray


@dataclass(frozen=True, eq=False)
class Candidate:
    """A run: what its model came to on each part of the queries."""

    changes: dict[str, dict[str, float]]
    """For each part and metric, how far it is from the starting model's."""
    is_held_back: bool
    """Whether a default guard holds it back, on the test queries."""

    def test(self, metric: str) -> float:
        """Return how far a metric of the test queries is from the starting model's."""
        return self.changes["test"][metric]


Rule = Callable[[list[Candidate]], int | None]
"""Returns the place of the candidate that is kept; None for the starting model."""


def best_by(
    metric: str, *, guarded: bool = False, ranking: bool = False, alone: bool = False
) -> Rule:
    """Choose by a metric, among those that no guard holds back, or that rank no worse by clicks.

    Args:
        metric: By which to choose.
        guarded: Whether the default guards hold runs back.
        ranking: Whether runs are held back that rank worse by clicks on average.
        alone: Whether the starting model does not compete.
    """

    def choose(candidates: list[Candidate]) -> int | None:
        allowed = [
            place
            for place, found in enumerate(candidates)
            if (alone or found.test(metric) > 0)
            and not (guarded and found.is_held_back)
            and not (ranking and found.test(RANKING_METRIC) < 0)
        ]
        return max(allowed, key=lambda place: candidates[place].test(metric), default=None)

    return choose


RULES: dict[str, Rule] = {
    "distance shift, guarded (shipped)": best_by(SHIFT, guarded=True),
    "distance shift alone": best_by(SHIFT),
    "distance shift, NDCG of clicks not lower": best_by(SHIFT, ranking=True),
    "gap alone": best_by(GAP_METRIC),
    "gap, NDCG of clicks not lower": best_by(GAP_METRIC, ranking=True),
    "NDCG@10 of clicks": best_by(RANKING_METRIC),
    "the starting model": lambda _: None,
    "runs alone: distance shift, guarded": best_by(SHIFT, guarded=True, alone=True),
    "runs alone: distance shift": best_by(SHIFT, alone=True),
    "runs alone: gap": best_by(GAP_METRIC, alone=True),
    "runs alone: gap, guarded": best_by(GAP_METRIC, guarded=True, alone=True),
    "runs alone: NDCG@10 of clicks": best_by(RANKING_METRIC, alone=True),
}


def main() -> None:
    asked = _arguments()
    print_machine()
    model = load_model(asked.model, "cpu")
    model.max_seq_length = min(asked.max_tokens, model.max_seq_length or asked.max_tokens)
    judged = read_collection(asked.data, model, asked.embeddings)
    regrets: dict[str, list[float]] = {name: [] for name in (*RULES, "by lot")}
    looks: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in RULES}
    for seed in range(asked.splits):
        candidates = _candidates(judged, seed)
        truth = [found.changes["unseen"][JUDGED] for found in candidates]
        best = max(*truth, 0.0)
        for name, rule in RULES.items():
            chosen = rule(candidates)
            regrets[name].append(best - (0.0 if chosen is None else truth[chosen]))
            if chosen is not None:
                looks[name].append(candidates[chosen].changes)
        regrets["by lot"].append(best - float(np.mean(truth)))
        print(f"split {seed}: " + " ".join(f"{value:+.4f}" for value in truth), flush=True)
    print_table(
        [
            {"rule": name, "regret": _mean(values), "kept a run": f"{len(looks.get(name, ()))}"}
            for name, values in sorted(regrets.items(), key=lambda each: np.mean(each[1]))
        ]
    )
    print_table(
        [
            {
                "chosen by": name,
                "metric": metric,
                **{
                    part: _mean([each[part][metric] - each["rest"][metric] for each in changes])
                    for part in ("test", "holdout")
                },
                "its change there": _mean([each["rest"][metric] for each in changes]),
            }
            for name, changes in looks.items()
            for metric in (SHIFT, RANKING_METRIC, JUDGED)
            if changes
        ]
    )


def _candidates(judged: Judged, seed: int) -> list[Candidate]:
    sessions = judged.sessions
    part = parts_of_sessions(sessions, 0.2, 0.4, seed)
    queries = {
        kind: np.unique(sessions.query_index[part == kind]) for kind in (TRAIN, TEST, HOLDOUT)
    }
    unseen = np.random.default_rng(seed).permutation(queries[HOLDOUT])
    halves = np.array_split(unseen, 2)
    parts = {"test": queries[TEST], "holdout": halves[0], "rest": halves[1], "unseen": unseen}
    train = sessions.take(part == TRAIN)
    evidence = _evidence(judged, train)
    found = []
    for l2 in L2:
        weight = fit_map(evidence, parts_of(evidence, l2, 80, seed), seed, lambda *_: None)
        for step in STEPS:
            after = mapped(torch.from_numpy(judged.queries), step * weight).numpy()
            measured = {name: _measured(judged, train, rows, after) for name, rows in parts.items()}
            figures = measured["test"][1]
            intervals = metric_intervals(figures, [guard.name for guard in DEFAULT_GUARDS])
            held = held_back_by(DEFAULT_GUARDS, intervals) is not None
            found.append(Candidate({name: each[0] for name, each in measured.items()}, held))
    return found


def _evidence(judged: Judged, train: Sessions) -> Evidence:
    targets = click_targets(train)
    place = {text: row for row, text in enumerate(judged.texts)}
    rows = [place[text] for text in train.items.to_pylist()]
    return Evidence(
        torch.from_numpy(judged.queries[targets.query_index]),
        torch.from_numpy(judged.items[rows]),
        targets,
        train.take(train.not_irrelevant),
    )


def _measured(
    judged: Judged, train: Sessions, rows: np.ndarray, after: Floats
) -> tuple[dict[str, float], QueryFigures]:
    """Return how far metrics of some queries are from the starting model's, and their figures."""
    sessions = judged.sessions.take(np.isin(judged.sessions.query_index, rows))
    baseline = judged.similarities(sessions)
    scores = _similarities(judged, sessions, after)
    start, tuned = (_per_session(sessions, each, baseline) for each in (baseline, scores))
    figures = query_figures(sessions, train, start, tuned)
    changes = {
        name: float(np.nanmean(tuned[name]) - np.nanmean(start[name]))
        for name in (SHIFT, GAP_METRIC, RANKING_METRIC)
    }
    ranked = ndcg(after[rows] @ judged.items.T, judged.gains[rows]) - judged.before[rows]
    return changes | {JUDGED: float(np.nanmean(ranked))}, figures


def _similarities(judged: Judged, sessions: Sessions, queries: Floats) -> Floats:
    place = {text: row for row, text in enumerate(judged.texts)}
    rows = np.array([place[text] for text in judged.sessions.items.to_pylist()])
    of_results = queries[sessions.query_index[sessions.session_index]]
    similar: Floats = (of_results * judged.items[rows[sessions.item_index]]).sum(axis=1)
    return similar


def _per_session(sessions: Sessions, scores: Floats, baseline: Floats) -> Mapping[str, Any]:
    found = compute_metrics(sessions, scores, baseline)
    return with_test_prefix({name: each for name, each in found.items() if np.ndim(each)})


def _mean(values: list[float]) -> str:
    """Return a mean with its standard error over splits."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):+.4f} ± {error:.4f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="the data folder")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--max-tokens", type=int, default=128, help="where texts are cut off")
    parser.add_argument("--embeddings", type=Path, help="keep the starting model's ones here")
    parser.add_argument("--model", help="the folder of another model than the method's own")
    return parser.parse_args()


if __name__ == "__main__":
    main()
