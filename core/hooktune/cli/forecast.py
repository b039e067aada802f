"""`hooktune run --dry-run`: what would be done, and what it would take."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hooktune.cli.follow import duration
from hooktune.cli.tables import json_text
from hooktune.plain_text import printable, printable_lines

if TYPE_CHECKING:
    from hooktune.iteration.forecast import Forecast, Space
    from hooktune.iteration.probe import Rate
    from hooktune.iteration.request import Request
    from hooktune.plugin.choice import PluginChoice
    from hooktune.tracking import Tracker


def print_forecasts(
    tracker: "Tracker",
    plugins: "PluginChoice",
    methods: Sequence[str] | None,
    folder: Path,
    request: "Request",
    workers: int,
    as_json: bool,
) -> None:
    """Print what a request would do with each method, and refuse what the disk cannot hold.

    Raises:
        RequestError: It cannot be carried out, or the disk cannot hold what comes of it.
        PluginError: A method failed.
    """
    from hooktune.data.release import open_batch
    from hooktune.iteration.forecast import forecast
    from hooktune.iteration.methods import usable_device

    device, batch = usable_device(request.device), open_batch(folder)
    found = [
        forecast(tracker, plugins.open_host(name), batch, request, device, workers)
        for name in (plugins.method_names() if methods is None else dict.fromkeys(methods))
    ]
    if as_json:
        click.echo(json_text([each.as_json() for each in found]))
    else:
        for each in found:
            click.echo(printable_lines(str(each.plan)))
            click.echo("\n".join(map(printable, forecast_lines(each))))
    for each in found:
        each.check()


def forecast_lines(found: "Forecast") -> list[str]:
    """Say what an iteration would take."""
    if found.total is None or found.each_run is None or found.before is None:
        return ["Nothing is left to run."]
    runs = len(found.plan.todo)
    from hooktune.iteration.forecast import megabytes

    return [
        f"time    {_time(found.total)}: {_time(found.before)} before the first run, and "
        f"{_time(found.each_run)} for each of {runs}",
        f"memory  {megabytes(found.memory or 0)}, of each process",
        f"disk    {_space(found.store)} for models; {_space(found.scratch)} for temporary files",
        "Nothing was stored.",
    ]


def _time(rate: "Rate") -> str:
    return f"{duration(rate.mean)} ({duration(rate.low)} to {duration(rate.high)})"


def _space(space: "Space") -> str:
    from hooktune.iteration.forecast import megabytes

    free = "on the server" if space.free is None else f"of {megabytes(space.free)} free"
    return f"{megabytes(space.needed)} {free}"
