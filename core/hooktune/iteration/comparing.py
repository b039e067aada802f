"""The methods of a batch side by side, and beside them what can be had without tuning."""

from pathlib import Path

from hooktune.contract.sessions import Batch
from hooktune.data.judgements import read_judgements
from hooktune.errors import RequestError
from hooktune.evaluation.comparison import Comparison, compare
from hooktune.iteration.lookup import find_batch_id, opened_batch
from hooktune.plugin.choice import PluginChoice
from hooktune.plugin.host import Host
from hooktune.tracking import Tracker


def compare_on_batch(
    tracker: Tracker,
    plugins: PluginChoice,
    batch: str | Path | Batch,
    baselines: bool,
    judgements: str | Path | None,
    device: str | None,
) -> Comparison:
    """Put all methods that ran on a batch side by side; see `Runner.compare`."""
    if not baselines and judgements is not None:
        raise RequestError("Judgements are what baselines are measured by: add --baselines.")
    if not baselines and device is not None:
        raise RequestError("A device is what baselines are measured on: add --baselines.")
    compared = compare(tracker, find_batch_id(tracker, batch))
    if not baselines:
        return compared
    if isinstance(batch, str) and not Path(batch).is_dir():
        raise RequestError(
            f"Baselines are measured on the batch itself, and {batch!r} is no folder. Give the "
            "folder of the released batch."
        )
    graded = None if judgements is None else read_judgements(Path(judgements))
    released = opened_batch(batch)
    # Not sooner, as it brings torch.
    from hooktune.evaluation.anchors import with_anchors
    from hooktune.iteration.methods import usable_device

    def open_host() -> Host:
        return _any_host(plugins, [method.method for method in compared.methods])

    return with_anchors(compared, tracker, open_host, released, graded, usable_device(device))


def _any_host(plugins: PluginChoice, methods: list[str]) -> Host:
    """Open the metric plugins, beside any method: those of files may not be at hand."""
    known = plugins.method_names()
    chosen = next((method for method in methods if method in known), known[0])
    return plugins.open_host(chosen)
