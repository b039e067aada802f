"""`hooktune ui` and `hooktune sync`."""

import os
import socket
import sys
from typing import TYPE_CHECKING

import click

from hooktune.cli.group import Context, cli
from hooktune.errors import HooktuneError, RequestError
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.tracking.outbox.outbox import Delivered


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5001, show_default=True)
@click.pass_obj
def ui(context: Context, port: int) -> None:
    """Show the store in MLflow's own pages.

    They are served to this machine alone.
    """
    from hooktune.tracking.connection import artifact_root

    tracker = context.tracker()
    if page := tracker.address.page:
        click.echo(f"The tracking store is a server already: open {page}")
        return
    _check_that_it_is_free(port)
    # Without the last part MLflow shows its pages of prompts and traces, where no metric is.
    address = f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning"
    click.echo(f"Open {address} and end it with Ctrl-C.")
    arguments = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    if artifacts := artifact_root(tracker.tracking_uri):
        arguments += ["--default-artifact-root", str(artifacts)]
    if not context.verbose:
        arguments += ["--uvicorn-opts", "--log-level warning"]
    # By the environment, as everybody on the machine may read arguments, and a password in them.
    os.environ["MLFLOW_BACKEND_STORE_URI"] = tracker.address.used
    # Its job processes would take gigabytes, for nothing that hooktune uses.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    sys.stdout.flush()
    os.execv(sys.executable, arguments)


@cli.command()
@click.pass_obj
def sync(context: Context) -> None:
    """Deliver what waits for a store that was away.

    It is what runs could not bring there. The exit status is 1 when something could not be
    delivered, which is kept.
    """
    runner = context.runner()
    delivered = runner.sync()
    for run in delivered:
        click.echo(printable(f"run {run.run_id}: {_what_was_done(run)}"))
    if not delivered:
        click.echo(printable(f"There is nothing to deliver in {runner.tracker.spool_folder}."))
    left = [run for run in delivered if run.problem and not run.is_elsewhere]
    if left:
        raise HooktuneError(f"{len(left)} of {len(delivered)} runs could not be delivered.")


def _check_that_it_is_free(port: int) -> None:
    """Refuse a port that cannot be had, which MLflow's server would tell by a traceback."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise RequestError(
            f"The port {port} cannot be had: {error.strerror}. Name another one by --port."
        ) from error


def _what_was_done(delivered: "Delivered") -> str:
    if delivered.problem:
        return f"not delivered, {delivered.problem}"
    done = [f"{delivered.points} metric points"]
    if delivered.kept_model is not None:
        done.append("the best model" if delivered.kept_model else "no model, as it is not the best")
    done.append(delivered.status or "its end is not known")
    return ", ".join(done)
