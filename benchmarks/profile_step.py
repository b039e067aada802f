"""Where the time of a training step goes, and how near to the machine's limit it comes.

    python benchmarks/profile_step.py                ten minutes on two cores
    python benchmarks/profile_step.py --quick        a look at it, with a tiny model

Contenders of `contenders.py` train for two epochs on the sessions of `many` queries. The second
one is looked at, twice: with timers around the parts of a step, and with torch's FLOP counter
(`torch.utils.flop_counter`), which counts matrix multiplications forward and backward; padding and
what frozen layers are run for count like the rest. The peak is the best of several products of two
large matrices with the same threads, in float32 and in bfloat16.
"""

import argparse
import copy
import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from contenders import save_tiny_model
from fits import FITS, steps_per_epoch
from hooktune.iteration.tracked_run import TrackedRun
from hooktune.training.layer_cache import LayerCache
from hooktune.training.tokens import Tokens
from hooktune_loop import load_model
from measuring import Pace, Phases, Spent, print_machine, print_table
from product_search import WORKLOADS, Parts, made_up_parts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CONTENDERS = ("plain", "hooktune", "plain-frozen", "hooktune-frozen", "hooktune-default")
PARTS = ("inputs", "forward", "backward", "optimizer", "metrics and logging")
MATRIX = 3_072


@dataclass
class ProfiledPace(Pace):
    """Takes note, at each step, of what was counted until then."""

    count: Callable[[], dict[str, float]] = dict
    counted: list[dict[str, float]] = field(default_factory=list)

    def step(self) -> None:
        """Take note of a step."""
        super().step()
        self.counted.append(self.count())

    def in_last_steps(self, first: int) -> dict[str, float]:
        """Return what was counted in the steps from this one on, which counts from 0."""
        before, after = self.counted[first - 1], self.counted[-1]
        return {name: value - before.get(name, 0.0) for name, value in after.items()}


def main() -> None:
    arguments = _arguments()
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(save_tiny_model(folder) if arguments.quick else None, arguments.device)
    parts = made_up_parts(WORKLOADS["many"].of(arguments.sessions))
    size = 512 if arguments.quick else MATRIX
    peaks = {
        name: matrix_peak(arguments.device, size, dtype)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    print(f"{len(parts.train)} sessions")
    print({f"peak in {name}": f"{peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()})
    rows, limits = [], []
    for name in arguments.contenders:
        seconds, parts_seconds = timed_steps(name, model, parts)
        flops = counted_flops(name, model, parts)
        steps = steps_per_epoch(parts)
        rest = seconds - sum(parts_seconds.values())
        spent = {part: parts_seconds.get(part, 0.0) for part in PARTS} | {"all else": rest}
        shares = {part: f"{100 * value / seconds:.1f} %" for part, value in spent.items()}
        rows.append({"contender": name, "s a step": seconds / steps, **shares})
        limits.append(
            {
                "contender": name,
                "GFLOP a step": flops / steps / 1e9,
                "GFLOP/s": flops / seconds / 1e9,
                **{
                    f"of the {name} peak": f"{100 * flops / seconds / peak:.1f} %"
                    for name, peak in peaks.items()
                },
            }
        )
    print_table(rows)
    print_table(limits)


def timed_steps(
    name: str, model: "SentenceTransformer", parts: Parts
) -> tuple[float, dict[str, float]]:
    """Return the wall seconds of the second epoch, and those of the parts of its steps."""
    trained, spent = copy.deepcopy(model), Spent()
    pace = ProfiledPace(count=lambda: dict(spent.seconds))
    with seams(trained, spent):
        FITS[name](trained, parts, pace, Phases(), 2)
    first = steps_per_epoch(parts)
    return pace.after(first).wall, pace.in_last_steps(first)


def counted_flops(name: str, model: "SentenceTransformer", parts: Parts) -> float:
    """Return the floating-point operations of the second epoch."""
    with FlopCounterMode(display=False) as counter:
        pace = ProfiledPace(count=lambda: {"flops": float(counter.get_total_flops())})
        FITS[name](copy.deepcopy(model), parts, pace, Phases(), 2)
    return pace.in_last_steps(steps_per_epoch(parts))["flops"]


@contextmanager
def seams(model: "SentenceTransformer", spent: Spent) -> Iterator[None]:
    """Time what every contender does somewhere, wherever it is called from."""
    tokenizer = type(model.tokenizer)
    layers = [
        module
        for module in model.modules()
        if type(module).__name__.endswith(("Layer", "Embeddings", "Pooling"))
    ]
    with ExitStack() as stack:
        for owner, method, part in (
            (type(model), "preprocess", "inputs"),
            (tokenizer, "__call__", "inputs"),
            (tokenizer, "pad", "inputs"),
            (Tokens, "padded", "inputs"),
            (LayerCache, "features", "inputs"),
            (torch.Tensor, "backward", "backward"),
            (torch.nn.utils, "clip_grad_norm_", "optimizer"),
            (torch.optim.AdamW, "step", "optimizer"),
            (torch.optim.Optimizer, "zero_grad", "optimizer"),
            (TrackedRun, "log", "metrics and logging"),
            (TrackedRun, "log_scores", "metrics and logging"),
            *((layer, "forward", "forward") for layer in layers),
        ):
            stack.enter_context(_timed(owner, method, part, spent))
        yield


@contextmanager
def _timed(owner: Any, name: str, part: str, spent: Spent) -> Iterator[None]:
    original, is_own = getattr(owner, name), name in vars(owner)

    @functools.wraps(original)
    def timed(*args: Any, **kwargs: Any) -> Any:
        with spent.on(part):
            return original(*args, **kwargs)

    setattr(owner, name, timed)
    try:
        yield
    finally:
        if is_own:
            setattr(owner, name, original)
        else:
            delattr(owner, name)


def matrix_peak(device: str, size: int, dtype: torch.dtype) -> float:
    """Return the most floating-point operations a second that a large matrix product reaches."""
    left, right = torch.randn(2, size, size, device=device).to(dtype)
    best = 0.0
    for _ in range(7):
        started = time.perf_counter()
        # Read, so that a GPU has to be done.
        float((left @ right)[0, 0])
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--sessions", type=int, default=64, help="training sessions")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="try it: a tiny model")
    return parser.parse_args()


if __name__ == "__main__":
    main()
