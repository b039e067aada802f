"""What the Default Fine Tuning Method makes of a GPU.

    python benchmarks/gpu.py [--seconds 30]      minutes on a GPU; --quick on a CPU, for a look

Three figures:
- the share of the device's bf16 peak that training reaches: the floating-point operations of the
  steps (6 for each weight of the transformer's layers and token of a step's distinct texts, and
  those of attention; Kaplan et al. 2020, section 2.1) over the time, over what the device
  multiplies in bfloat16 in large matrices, which is measured here too;
- sessions a second, beside the trainer of sentence-transformers on the same sessions, which takes
  all triplets of a session in bf16;
- the seconds to encode and search a collection of a million items, for 1,000 queries.

Each is printed with the greatest memory of the device.
"""

import argparse
import copy
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sentence_transformers import SentenceTransformer

from collection_search import made_up
from contenders import save_tiny_model
from hooktune import MiniBatchLoader, Sessions, TrainingBatch, TrainingParams
from hooktune.evaluation.collection import Collection
from hooktune.training.encoder import TextEncoder
from hooktune_loop import ALL_LAYERS, load_model, open_default, train_with_hooktune
from measuring import Pace, Phases, print_machine, print_table
from product_search import SEED, WORKLOADS, made_up_parts
from st_trainer import train_with_trainer

EPOCHS = 100
Trained = tuple[float, Pace]
"""How many sessions were trained on, and when its steps were done."""


def main() -> None:
    arguments = _arguments()
    print_machine()
    if arguments.device != "cpu":
        print(torch.cuda.get_device_name(arguments.device), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = save_tiny_model(folder) if arguments.quick else arguments.model
        model = load_model(path, arguments.device)
        print_table([*training_rows(model, arguments)])
        print_table([collection_row(model, arguments)])


def training_rows(
    model: SentenceTransformer, arguments: argparse.Namespace
) -> list[dict[str, object]]:
    """Train by the method, with all layers and as it is shipped, and by the trainer."""
    parts = made_up_parts(WORKLOADS["repeated"].of(arguments.sessions))
    size = arguments.mini_batch_size
    common = {"mini_batch_size": size, "epochs": EPOCHS, "evaluations_per_epoch": 0}

    def by_method(tuned: SentenceTransformer, params: Mapping[str, Any]) -> tuple[float, Pace]:
        pace = Pace(arguments.seconds)
        train_with_hooktune(tuned, parts, pace, Phases(), {**params, **common})
        return min(pace.steps * size, EPOCHS * len(parts.train)), pace

    def by_trainer(tuned: SentenceTransformer) -> tuple[float, Pace]:
        pace = Pace(arguments.seconds)
        return train_with_trainer(tuned, parts.train, pace, epochs=EPOCHS), pace

    rows: list[dict[str, object]] = []
    contenders = {
        "hooktune, all layers": partial(by_method, params=ALL_LAYERS),
        "hooktune, as shipped": partial(by_method, params={}),
        "st-trainer": by_trainer,
    }
    for name, train in contenders.items():
        sessions, pace, memory = on_device(arguments.device, model, train)
        seconds = pace.after(0).wall
        flops = math.nan
        if name == "hooktune, all layers":
            space = open_default().hyper_parameters()
            assert space is not None
            params = space(**{**ALL_LAYERS, **common})
            flops = flops_of_steps(model, parts.train, params, pace.steps) / seconds
        rows.append(
            {
                "contender": name,
                "sessions a second": sessions / seconds,
                "TFLOP/s": flops / 1e12,
                "of bf16 peak": flops / peak_flops(arguments.device, arguments.quick),
                "peak GB": memory,
            }
        )
    return rows


def on_device(
    device: str, model: SentenceTransformer, train: Callable[[SentenceTransformer], Trained]
) -> tuple[float, Pace, float]:
    """Train a copy of a model; return the sessions, the pace and the greatest GB of the device."""
    is_cuda = device.startswith("cuda")
    if is_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    sessions, pace = train(copy.deepcopy(model))
    memory = torch.cuda.max_memory_allocated(device) / 1e9 if is_cuda else math.nan
    return sessions, pace, memory


def flops_of_steps(
    model: SentenceTransformer, sessions: Sessions, params: TrainingParams, steps: int
) -> float:
    """Return the operations of some steps, forward and back, on the distinct texts of each."""
    transformer = model[0].model
    config = transformer.config
    weights = sum(
        weight.numel()
        for name, weight in transformer.named_parameters()
        if "embeddings" not in name and weight.dim() == 2
    )
    encoder = TextEncoder(model)
    queries = encoder.column(sessions.queries, "query").lengths.astype(np.float64)
    items = encoder.column(sessions.items, "document").lengths.astype(np.float64)
    baseline = np.zeros(sessions.result_count, np.float32)
    loader = MiniBatchLoader(TrainingBatch("0" * 24, sessions, baseline), params, SEED)
    passed = 0.0
    for _, mini_batch in islice(loader.steps(), steps):
        lengths = np.concatenate(
            [
                queries[np.unique(mini_batch.sessions.query_index)],
                items[np.unique(mini_batch.sessions.item_index)],
            ]
        )
        passed += 2 * weights * lengths.sum()
        # Each token is compared with all of its text, and takes a share of all: 2 times 2.
        passed += 4 * config.num_hidden_layers * config.hidden_size * (lengths**2).sum()
    return 3 * passed


def peak_flops(device: str, is_quick: bool) -> float:
    """Return how many operations a second large bf16 matrices are multiplied with."""
    size, rounds = (256, 3) if is_quick else (8192, 20)
    one = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        one @ one
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    for _ in range(rounds):
        one @ one
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return 2.0 * size**3 * rounds / (time.perf_counter() - began)


def collection_row(model: SentenceTransformer, arguments: argparse.Namespace) -> dict[str, object]:
    """Encode and search a whole collection, as it is done at the end of a run."""
    items = arguments.items
    shown = made_up(arguments.queries, items, np.random.default_rng(0))
    texts = pa.array(
        [f"item {number} of a large collection" for number in range(items)], pa.large_string()
    )
    sessions = replace(shown, items=texts)
    collection = Collection(sessions, TextEncoder(model))
    began = time.perf_counter()
    embedded = collection.embed(model, sessions, "the model")
    encoded = time.perf_counter()
    collection.figures(collection.search(embedded))
    return {
        "items": items,
        "queries": arguments.queries,
        "encoding s": encoded - began,
        "search and metrics s": time.perf_counter() - encoded,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each contender")
    parser.add_argument("--sessions", type=int, default=400)
    parser.add_argument("--mini-batch-size", type=int, default=64)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--model", help="A folder.  [default: the method's own]")
    parser.add_argument("--quick", action="store_true", help="try it: a tiny model, few of all")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.sessions, arguments.mini_batch_size = 2.0, 40, 8
        arguments.items, arguments.queries = 2_000, 20
    return arguments


if __name__ == "__main__":
    main()
