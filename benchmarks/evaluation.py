"""How long an evaluation takes after the first, beside encoding all shown texts.

    python benchmarks/evaluation.py                  a few minutes on two cores
    python benchmarks/evaluation.py --quick          a look at it, with a tiny model

1,000 made-up sessions of 20 results over 1,400 items are measured between steps of a training that
leaves the lower layers as they are. Here a training step is a small change of all weights above
them. Printed are the seconds of

- `encode`: `model.encode` of each distinct shown text, and nothing else: the reference;
- `evaluation`: an evaluation of the changed model, as `run.evaluate` makes it, in turn with it;
- `same model`: an evaluation of a model that was measured before.

The first evaluation is told apart; the measuring of the starting model before it has filled what
later ones share.
"""

import argparse
import copy
import tempfile
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from contenders import save_tiny_model
from hooktune import MainMetric, Sessions
from hooktune.evaluation.evaluator import Evaluator
from hooktune.iteration.tracked_run import TrackedRun
from hooktune.testing.trial import NoProgress
from hooktune.training.encoder import TextEncoder
from hooktune.training.optimizer import frozen, lowest_layers
from hooktune.training.scoring import score_results
from hooktune_loop import PacedPoints, load_model, open_default
from measuring import Cost, Pace, median, now, print_machine, print_table
from product_search import SEED, Workload, made_up_parts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune.tracking.outbox.metric_log import MetricLog

WORKLOAD = Workload(queries=50, items=1_400, held_out=1, sessions=1_000)
QUICK = Workload(queries=10, items=230, held_out=1, sessions=40)


def main() -> None:
    arguments = _arguments()
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        workload = QUICK if arguments.quick else WORKLOAD
        model = load_model(save_tiny_model(folder) if arguments.quick else None, "cpu")
    sessions = made_up_parts(workload).train
    lowest = lowest_layers(model, arguments.frozen_layers)
    print(f"{len(sessions)} sessions over {len(np.unique(sessions.item_index))} items")
    with frozen(lowest):
        rounds = 1 if arguments.quick else arguments.rounds
        found = measure(model, sessions, arguments.frozen_layers, rounds)
    reference = median(cost.cpu for cost in found["encode"])
    rows = [
        {
            "what": name,
            "CPU s": median(cost.cpu for cost in costs),
            "wall s": median(cost.wall for cost in costs),
            "times as fast": reference / median(cost.cpu for cost in costs),
        }
        for name, costs in found.items()
    ]
    print_table(rows)


def measure(
    model: "SentenceTransformer", sessions: Sessions, frozen_layers: int, rounds: int
) -> dict[str, list[Cost]]:
    """Evaluate a model that changes, and encode its texts, in turn."""
    encoder = TextEncoder(copy.deepcopy(model), frozen_layers)
    before = score_results(encoder.model, sessions, encoder)
    points = cast("MetricLog", PacedPoints(Pace()))
    evaluated = Evaluator(open_default(), sessions, before, encoder)
    run = TrackedRun(SEED, MainMetric(), evaluated, points, NoProgress(), Event())
    found: dict[str, list[Cost]] = {"first evaluation": [], "encode": [], "evaluation": []}
    found["same model"] = []
    change(model, 0)
    found["first evaluation"].append(cost_of(lambda: run.evaluate(model, 0)))
    for step in range(1, rounds + 1):
        change(model, step)
        found["encode"].append(cost_of(lambda: encode_all(model, sessions)))
        found["evaluation"].append(cost_of(lambda: run.evaluate(model, step)))  # noqa: B023
        found["same model"].append(cost_of(lambda: run.evaluate(model, step)))  # noqa: B023
    return found


def change(model: "SentenceTransformer", seed: int) -> None:
    """Change the weights that are in training a little, as a step does."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=random), alpha=1e-4)


def encode_all(model: "SentenceTransformer", sessions: Sessions) -> None:
    """Encode each distinct shown text."""
    shown = (sessions.queries, sessions.query_index), (sessions.items, sessions.item_index)
    texts = {text for column, index in shown for text in column.take(np.unique(index)).to_pylist()}
    model.encode(list(texts))


def cost_of(work: Callable[[], object]) -> Cost:
    """Return what a piece of work takes."""
    before = now()
    work()
    return now() - before


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frozen-layers", type=int, default=3, help="the default is a half")
    parser.add_argument("--quick", action="store_true", help="try it: tiny model, one round")
    return parser.parse_args()


if __name__ == "__main__":
    main()
