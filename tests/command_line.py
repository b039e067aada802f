"""hooktune's command line in a process of its own, whose libraries are imported already."""

import multiprocessing
import os
import sys
from pathlib import Path

# Its children come from a process that has only imported, as a fork of one that has trained may
# wait forever for threads that it has not.
_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(
    [
        "hooktune.cli.running",
        "hooktune.iteration.lead",
        "hooktune.training.loop",
        "mlflow.sentence_transformers",
        "mlflow.store.tracking.sqlalchemy_store",
    ]
)


def call_in_a_process(work: Path, *arguments: str) -> int:
    """Call `hooktune` in a folder, where `said.txt` gets what it prints; return its exit status."""
    process = _FORKSERVER.Process(target=_call, args=(work, arguments))
    process.start()
    process.join(120)
    process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _call(work: Path, arguments: tuple[str, ...]) -> None:
    from hooktune.cli import main

    os.chdir(work)
    said = os.open(work / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    main([*arguments])
