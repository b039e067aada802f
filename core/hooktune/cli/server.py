"""`hooktune ui` and `hooktune sync`."""

import os
import sys
from typing import TYPE_CHECKING

import click

from hooktune.cli.group import Context, cli
from hooktune.errors import HooktuneError
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.tracking.outbox.outbox import Delivered


@cli.command()
@click.option("--port", type=int, default=5001, show_default=True)
@click.pass_obj
def ui(context: Context, port: int) -> None:
    """Show the tracking store in MLflow's own pages, on this machine alone."""
    tracker = context.tracker()
    if tracker.tracking_uri.startswith(("http://", "https://")):
        click.echo(f"The tracking store is a server already: open {tracker.tracking_uri}")
        return
    # Without the last part MLflow shows its pages of prompts and traces, where no metric is.
    address = f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning"
    click.echo(f"Open {address} and end it with Ctrl-C.")
    arguments = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", tracker.tracking_uri,
    ]  # fmt: skip
    if artifacts := tracker.artifact_root:
        arguments += ["--default-artifact-root", artifacts]
    # Its job processes would take gigabytes, for nothing that hooktune uses.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    sys.stdout.flush()
    os.execv(sys.executable, arguments)


@cli.command()
@click.pass_obj
def sync(context: Context) -> None:
    """Bring to the store what runs could not bring there while it was away.

    The exit status is 1 when something could not be delivered, which is kept.
    """
    tracker = context.tracker()
    delivered = tracker.sync()
    for each in delivered:
        click.echo(printable(f"run {each.run_id}: {_what_was_done(each)}"))
    if not delivered:
        click.echo(printable(f"There is nothing to deliver in {tracker.spool_folder}."))
    left = [each for each in delivered if each.problem and not each.is_elsewhere]
    if left:
        raise HooktuneError(f"{len(left)} of {len(delivered)} runs could not be delivered.")


def _what_was_done(delivered: "Delivered") -> str:
    if delivered.problem:
        return f"not delivered, {delivered.problem}"
    done = [f"{delivered.points} metric points"]
    if delivered.kept_model is not None:
        done.append("the best model" if delivered.kept_model else "no model, as it is not the best")
    done.append(delivered.status or "its end is not known")
    return ", ".join(done)
