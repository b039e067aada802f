"""What a plugin shares with the rest of the process, and has to leave as it found it."""

import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

AMBIENT_SEED: Final = 982_451_653
"""The seed of the global generators around a plugin, which no plugin chooses by chance: after
`seed(0)` twice, nothing would seem to have changed."""

_MLFLOW_PREFIX: Final = "MLFLOW_"


@dataclass(frozen=True)
class Surrounding:
    """One thing that is shared: how to read it and put it back, and how to leave it alone."""

    name: str
    read: Callable[[], dict[str, Any]]
    write: Callable[[dict[str, Any]], None]
    advice: str


@contextmanager
def watched() -> Iterator[dict[str, str]]:
    """Note in words what a block changes of its surroundings, by their names, and put it back."""
    before = {surrounding.name: surrounding.read() for surrounding in SURROUNDINGS}
    changes: dict[str, str] = {}
    try:
        yield changes
    finally:
        for surrounding in SURROUNDINGS:
            was, now = before[surrounding.name], surrounding.read()
            changed = [part for part in was | now if was.get(part) != now.get(part)]
            if changed:
                changes[surrounding.name] = ", ".join(sorted(changed))
                surrounding.write(was)


def _read_random() -> dict[str, Any]:
    import torch

    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "random": random.getstate(),
        "numpy.random": (kind, np.asarray(keys).tobytes(), *rest),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def _write_random(state: dict[str, Any]) -> None:
    import torch

    kind, keys, *rest = state["numpy.random"]
    random.setstate(state["random"])
    np.random.set_state((kind, np.frombuffer(keys, np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(torch.frombuffer(bytearray(state["torch"]), dtype=torch.uint8))


def _read_torch() -> dict[str, Any]:
    import torch

    return {
        "the number of threads": torch.get_num_threads(),
        "the default dtype": torch.get_default_dtype(),
        "the gradient mode": torch.is_grad_enabled(),
        "the deterministic mode": torch.are_deterministic_algorithms_enabled(),
    }


def _write_torch(state: dict[str, Any]) -> None:
    import torch

    torch.set_num_threads(state["the number of threads"])
    torch.set_default_dtype(state["the default dtype"])
    torch.set_grad_enabled(state["the gradient mode"])
    torch.use_deterministic_algorithms(state["the deterministic mode"])


def _read_environment() -> dict[str, Any]:
    # MLflow keeps its tracking URI there too; that change is told as MLflow's.
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_MLFLOW_PREFIX)
    }


def _write_environment(state: dict[str, Any]) -> None:
    _restore_variables(state, _read_environment())


def _read_mlflow() -> dict[str, Any]:
    state: dict[str, Any] = {
        name: value for name, value in os.environ.items() if name.startswith(_MLFLOW_PREFIX)
    }
    mlflow: Any = sys.modules.get("mlflow")  # importing it only to look would take seconds
    if mlflow is not None:
        active = mlflow.active_run()
        state["the tracking URI"] = (
            mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
        )
        state["the active run"] = active.info.run_id if active else None
    else:
        state["the tracking URI"] = os.environ.get("MLFLOW_TRACKING_URI")
    return state


def _write_mlflow(state: dict[str, Any]) -> None:
    mlflow: Any = sys.modules.get("mlflow")
    if mlflow is not None:
        while (active := mlflow.active_run()) and active.info.run_id != state.get("the active run"):
            mlflow.end_run()
        mlflow.set_tracking_uri(state["the tracking URI"])
    variables = {name: value for name, value in state.items() if name.startswith(_MLFLOW_PREFIX)}
    now = {name: value for name, value in os.environ.items() if name.startswith(_MLFLOW_PREFIX)}
    _restore_variables(variables, now)


def _restore_variables(was: dict[str, str], now: dict[str, str]) -> None:
    for name in now.keys() - was.keys():
        del os.environ[name]
    os.environ.update(was)


def _read_folder() -> dict[str, Any]:
    return {"the working folder": Path.cwd()}


def _write_folder(state: dict[str, Any]) -> None:
    os.chdir(state["the working folder"])


SURROUNDINGS: Final = (
    Surrounding(
        "random_state",
        _read_random,
        _write_random,
        "Draw from generators of your own, numpy.random.default_rng(run.seed) and "
        "torch.Generator().manual_seed(run.seed), or do the work under "
        "`with hooktune.seeded(run.seed):`, which puts the global states back.",
    ),
    Surrounding(
        "torch_settings",
        _read_torch,
        _write_torch,
        "Leave torch's settings to the host; where they must differ for a while, put them back in "
        "a `finally`.",
    ),
    Surrounding(
        "environment",
        _read_environment,
        _write_environment,
        "Make settings hyper-parameters instead of environment variables; put back what a library "
        "sets.",
    ),
    Surrounding(
        "working_folder",
        _read_folder,
        _write_folder,
        "Use absolute paths and tempfile.TemporaryDirectory() instead of os.chdir().",
    ),
    Surrounding(
        "mlflow_state",
        _read_mlflow,
        _write_mlflow,
        "Track through run.log() alone: hooktune keeps the run, and other runners in the process "
        "have other tracking stores. Never call mlflow.set_tracking_uri() or mlflow.start_run(); "
        "where a library does, switch its MLflow callback off.",
    ),
)
