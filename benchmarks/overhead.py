"""What hooktune adds to the training: tracking, and the host's own work.

    python benchmarks/overhead.py                    some minutes on two cores
    python benchmarks/overhead.py --quick            a look at it, with a tiny model
    python benchmarks/overhead.py --part tracking    or host

- `tracking`: the Default Fine Tuning Method by pairs, whose steps are short, with a run that
  drops all metrics and with one that writes a point of every metric at every step to an SQLite
  store; in turn, in one process. The two totals differ by chance by more than tracking takes, so
  that the seconds inside `run.log`, `run.log_scores` and the thread that writes are measured too:
  the share is of those.
- `host`: a whole iteration of one run, and what of it is training, encoding for measurements before
  and after it, and the rest: reading the batch, the store, the model's upload and checks.
"""

import argparse
import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from contenders import save_tiny_model
from measuring import Cost, Phases, Spent, median, now, print_machine, print_table
from product_search import SEED, WORKLOADS, Workload, made_up_parts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hooktune import Encoder, Sessions
    from hooktune.contract.sessions import Floats
    from hooktune.evaluation.evaluator import Evaluator
    from hooktune.training.embeddings import Embeddings

PARAMS: Mapping[str, Any] = {"loss": "pairs", "query_map": 0, "evaluations_per_epoch": 0}
"""Many short steps, and nothing between them or after them."""


@dataclass
class SilentRun:
    """A run that drops everything."""

    seed: int
    main_metric: Any
    encoder: "Encoder"
    device: str = "cpu"
    rank: int = 0
    world_size: int = 1

    def expect_steps(self, count: int) -> None:
        """Drop it."""

    def use_loss(self, loss: object) -> None:
        """Drop it."""

    def log(self, metrics: Mapping[str, float], step: int, accumulate: object = ()) -> None:
        """Drop it."""

    def log_scores(self, *args: Any) -> None:
        """Drop them."""

    def evaluate(self, model: "SentenceTransformer", step: int) -> dict[str, float]:  # noqa: ARG002
        """Measure nothing."""
        return {}

    def checkpoint(self, step: int, state: object) -> None:
        """Keep nothing."""

    def resumed(self) -> None:
        """Begin anew."""

    def should_stop(self) -> bool:
        """Never."""
        return False


class TimedClient:
    """An MLflow client whose writing of metrics is timed."""

    def __init__(self, client: Any, spent: Spent) -> None:
        self.client = client
        self.spent = spent

    def log_batch(self, *args: Any, **kwargs: Any) -> None:
        """Write, and count it."""
        with self.spent.on("writing"):
            self.client.log_batch(*args, **kwargs)


def track(name: str, workload: Workload, arguments: argparse.Namespace, folder: Path) -> None:
    """Train with a silent and with a tracked run in turn, and print the shares."""
    from hooktune import MainMetric, TrainingBatch, seeded
    from hooktune.evaluation.evaluator import Evaluator
    from hooktune.tracking import Tracker
    from hooktune.training.encoder import TextEncoder
    from hooktune.training.optimizer import frozen_layer_count
    from hooktune.training.scoring import score_results
    from hooktune_loop import BATCH_ID, load_model, open_default

    parts, host = made_up_parts(workload), open_default()
    model = load_model(arguments.model, "cpu")
    space = host.hyper_parameters()
    assert space is not None
    encoder = TextEncoder(model, frozen_layer_count(model, space(**PARAMS).frozen_layers))
    batch = TrainingBatch(BATCH_ID, parts.train, score_results(model, parts.train, encoder))
    evaluator = Evaluator(host, parts.test, score_results(model, parts.test, encoder), encoder)
    client = Tracker(f"sqlite:///{folder / 'tracking.db'}").client
    experiment = client.create_experiment(f"tracking {name}")
    rows: dict[str, list[dict[str, float]]] = {"silent": [], "tracked": []}
    for _ in range(arguments.rounds):
        for name, found in rows.items():
            writing, logging = Spent(), Spent()
            if name == "silent":
                started, run = now(), SilentRun(SEED, MainMetric(), encoder)
                with seeded(SEED):
                    host.fit_batch(run, copy.deepcopy(model), batch, space(**PARAMS))
            else:
                run_id = client.create_run(experiment).info.run_id
                started = now()
                timed, close = timed_run(evaluator, TimedClient(client, writing), run_id, logging)
                with seeded(SEED):
                    host.fit_batch(timed, copy.deepcopy(model), batch, space(**PARAMS))
                close()
            taken = now() - started
            found.append(shares(taken, logging, writing))
    print(f"tracking: {workload}, {arguments.rounds} rounds")
    print_table(
        [
            {"run": name, **{key: median(timings[key] for timings in found) for key in found[0]}}
            for name, found in rows.items()
        ]
    )


def timed_run(evaluator: "Evaluator", client: TimedClient, run_id: str, spent: Spent) -> Any:
    """Return a tracked run whose calls are timed, and what ends its writing."""
    from hooktune import MainMetric
    from hooktune.iteration.tracked_run import TrackedRun
    from hooktune.testing.trial import NoProgress
    from hooktune.tracking.outbox.metric_log import MetricLog
    from hooktune.tracking.outbox.spool import RunSpool

    class TimedRun(TrackedRun):
        def log(self, *args: Any, **kwargs: Any) -> None:
            with spent.on("log"):
                super().log(*args, **kwargs)

        def log_scores(
            self,
            model: "SentenceTransformer",
            sessions: "Sessions",
            scores: "Floats",
            baseline: "Floats",
            step: int,
        ) -> None:
            with spent.on("log_scores"):
                super().log_scores(model, sessions, scores, baseline, step)

    spool = RunSpool(Path(tempfile.gettempdir(), "hooktune-unused"))
    metric_log = MetricLog(lambda points: client.log_batch(run_id, metrics=points), spool)
    run = TimedRun(SEED, MainMetric(), evaluator, metric_log, NoProgress(), Event())
    return run, metric_log.close


def shares(taken: Cost, logging: Spent, writing: Spent) -> dict[str, float]:
    """Return the seconds of a training and which of them tracking took."""
    cpu = sum(logging.cpu.values()) + sum(writing.cpu.values())
    return {
        "CPU s": taken.cpu,
        "wall s": taken.wall,
        "in log, ms": 1e3 * logging.seconds.get("log", 0.0),
        "in log_scores, ms": 1e3 * logging.seconds.get("log_scores", 0.0),
        "writing, CPU ms": 1e3 * writing.cpu.get("writing", 0.0),
        "share of CPU, %": 100 * cpu / taken.cpu,
        "share of wall, %": 100 * sum(logging.seconds.values()) / taken.wall,
    }


def measure_host(workload: Workload, arguments: argparse.Namespace, folder: Path) -> None:
    """Run an iteration, and print what of it is not training."""
    from hooktune.evaluation import collection
    from hooktune.training import scoring
    from hooktune.training.embeddings import embed_column
    from tracked_run import run_tracked

    phases, spent = Phases(), Spent()

    def timed(*args: Any, **kwargs: Any) -> "Embeddings":
        with spent.on("encoding"):
            return embed_column(*args, **kwargs)

    for module in (collection, scoring):
        module.embed_column = timed
    phases.end("imports")
    run_tracked(workload, folder, phases, PARAMS, arguments.model)
    around = phases.costs["baseline"] + phases.costs["evaluation"]
    encoding = Cost(spent.cpu["encoding"], spent.seconds["encoding"])
    print(f"host: one iteration of one run, {workload}")
    costs = {
        "making and releasing the log": phases.costs["load"],
        "training": phases.costs["training"],
        "around it, encoding": encoding,
        "around it, the rest": around - encoding,
    }
    print_table(
        [{"part": part, "CPU s": cost.cpu, "wall s": cost.wall} for part, cost in costs.items()]
    )


def main() -> None:
    arguments = _arguments()
    print_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.quick:
            arguments.model, arguments.rounds = save_tiny_model(str(folder / "model")), 1
        workloads = {
            kind: workload.of(40 if arguments.quick else arguments.sessions)
            for kind, workload in WORKLOADS.items()
        }
        if "tracking" in arguments.part:
            for kind, workload in workloads.items():
                track(kind, workload, arguments, folder)
        if "host" in arguments.part:
            measure_host(workloads["many"], arguments, folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parts = ("tracking", "host")
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    parser.add_argument("--sessions", type=int, default=200, help="training sessions")
    parser.add_argument("--rounds", type=int, default=3, help="of tracking")
    parser.add_argument("--model", help="the folder of another model than the method's own")
    parser.add_argument("--quick", action="store_true", help="try it: tiny model, one round")
    return parser.parse_args()


if __name__ == "__main__":
    main()
