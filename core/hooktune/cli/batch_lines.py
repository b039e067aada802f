"""What `hooktune batch show` says of a batch."""

from typing import TYPE_CHECKING, Final

from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.data.manifest import BatchManifest
    from hooktune.data.position_bias import PositionBias

_BAR: Final = 40
LINE: Final = 2000


def position_lines(bias: "PositionBias") -> list[str]:
    """Describe how likely each position is looked at, with a chart and 95 % intervals."""
    lines = [f"position bias {bias.in_words}"]
    most = max((each.probability for each in bias.positions), default=1)
    for each in bias.positions:
        bar = "█" * round(_BAR * each.probability / most)
        lines.append(
            f"  {each.position:>4} {bar:<{_BAR}} {each.probability:.2f} "
            f"({each.low:.2f} to {each.high:.2f})"
        )
    return lines


def batch_lines(manifest: "BatchManifest") -> list[str]:
    """Describe a released batch, with a chart of the clicks at each position."""
    counts, images = manifest.counts, manifest.images
    lines = [
        f"batch         {manifest.batch_id}",
        f"released      {manifest.released_at:%Y-%m-%d %H:%M} UTC from {manifest.log_file} "
        f"({manifest.log_format}) and {manifest.items_file}",
        f"sessions      {counts.sessions}: {counts.not_irrelevant} not irrelevant, "
        f"{counts.irrelevant} irrelevant",
        f"queries       {counts.queries}",
        f"items         {counts.items}",
        *(
            []
            if images is None
            else [f"images        {images.items} items, {images.queries} queries"]
        ),
        f"results       {counts.results}",
        f"clicks        {counts.clicks}",
    ]
    if manifest.labels:
        lines.append("labels")
        lines += [f"  {label.in_words}" for label in manifest.labels]
    if manifest.clicks_by_position:
        lines.append("clicks by position")
        most = max(*manifest.clicks_by_position, 1)
        for position, clicks in enumerate(manifest.clicks_by_position, start=1):
            lines.append(f"  {position:>4} {'█' * round(_BAR * clicks / most):<{_BAR}} {clicks}")
    if manifest.position_bias is not None:
        lines += position_lines(manifest.position_bias)
    if manifest.events is None:
        lines.append("events        not counted by kind; each of any kind is a click")
    else:
        lines.append("events" if manifest.events else "events        none")
        lines += [f"  {event.in_words}" for event in manifest.events]
    lines.append("set aside" if manifest.set_aside else "set aside     nothing")
    lines += [f"  {count:>6} {reason}" for reason, count in sorted(manifest.set_aside.items())]
    if manifest.found:
        lines.append("found in the log")
    for finding in manifest.found:
        lines.append(f"  {finding.count:>6} {finding.what}")
        lines += [f"         {example}" for example in finding.examples]
    if manifest.warning:
        lines.append(f"! {manifest.warning}")
    return [printable(line, LINE) for line in lines]
