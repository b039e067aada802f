"""`hooktune ui`."""

import os
import sys

import click

from hooktune.cli.group import Context, cli


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
