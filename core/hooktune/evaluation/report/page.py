"""Sections become a page: everything that they hold is escaped here, and nowhere else."""

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html import escape
from importlib import resources
from itertools import count
from typing import Any, Final

from hooktune.contract.report import Paragraph, ReportPart, ReportSection, Table
from hooktune.plain_text import printable

LONGEST_TEXT: Final = 300
LONGEST_PARAGRAPH: Final = 2000
"""Characters that a page shows of a value, and of a paragraph."""

_CHART_HEIGHT: Final = 220
_SMALL: Final = 0.001
_LOOK: Final = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "domainColor": "currentColor",
        "tickColor": "currentColor",
        "gridColor": "currentColor",
        "gridOpacity": 0.15,
        "labelLimit": 240,
    },
    "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "orient": "top"},
    "header": {"labelColor": "currentColor", "titleColor": "currentColor"},
    "title": {"color": "currentColor"},
    # Both stand out from white and from black by 3 to 1.
    "range": {"category": ["#2f7fd1", "#d9730d", "#2e9e6b", "#b45ad1"]},
    "mark": {"color": "#2f7fd1"},
    "rule": {"color": "currentColor"},
    "text": {"color": "currentColor"},
}


def render(title: str, about: str, answer: str, sections: Iterable[ReportSection]) -> str:
    """Write a page that opens from a disk and in a sandboxed frame, and needs no network.

    Charts are drawn where `hooktune[report]` is installed; their tables are there in any case.

    Args:
        title: What the page is about, in a few words.
        about: What was run and when, in a line.
        answer: What came of it, in a sentence.
        sections: What it tells, in this order.
    """
    numbers = (f"chart-{number}" for number in count(1))
    library = _chart_library()
    body = "\n".join(
        f"<section>\n<h2>{_text(section.title)}</h2>\n"
        + "\n".join(_part(part, numbers, library is not None) for part in section.parts)
        + "\n</section>"
        for section in sections
    )
    style = _asset("page.css")
    scripts = [] if library is None else [library, _asset("page.js")]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{_text(title)}</h1>
<p class="about">{_text(about)}</p>
<p class="answer">{_text(answer, LONGEST_PARAGRAPH)}</p>
{body}
</main>
{_scripts(scripts)}
</body>
</html>
"""


def _scripts(scripts: Sequence[str]) -> str:
    """Write what draws charts; the library, of 0.9 MB, is a text that is run after the rest."""
    if not scripts:
        return ""
    library, own = scripts
    return (
        f'<script type="text/plain" id="chart-library">{library}</script>\n<script>{own}</script>'
    )


def _policy(scripts: Sequence[str]) -> str:
    """Return what the page may do: run its own scripts, and ask nobody for anything."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts)
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in digests) or "'none'"
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {allowed}"


def _part(part: ReportPart, numbers: Iterator[str], can_draw: bool) -> str:
    if isinstance(part, Paragraph):
        kind = ' class="warning"' if part.is_warning else ""
        return f"<p{kind}>{_text(part.text, LONGEST_PARAGRAPH)}</p>"
    if isinstance(part, Table):
        return _table(part)
    if not can_draw:
        return _table(part.table)
    name = next(numbers)
    table = part.table
    data = [dict(zip(table.columns, map(_plain, row), strict=True)) for row in table.rows]
    spec = {
        "width": "container",
        "height": _CHART_HEIGHT,
        "autosize": {"type": "fit-x", "contains": "padding"},
        **part.spec,
        "data": {"name": "table", "values": data},
        "config": _LOOK,
    }
    # A text that ends the script element would be read as HTML.
    values = json.dumps(spec, ensure_ascii=False).replace("<", "\\u003c")
    return (
        f"<figure>\n<figcaption>{_text(table.caption)}</figcaption>\n"
        # What it shows stands in the table below, which is read instead.
        f'<div class="chart" aria-hidden="true" data-chart="{name}"></div>\n'
        f'<script type="application/json" id="{name}">{values}</script>\n'
        f"{_folded('The same as a table', _grid(table, table.caption))}\n</figure>"
    )


def _table(table: Table) -> str:
    if table.is_folded:
        return _folded(table.caption, _grid(table, table.caption))
    caption = f"<caption>{_text(table.caption)}</caption>"
    return _grid(table, table.caption, caption)


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{_text(title)}</summary>{content}</details>"


def _grid(table: Table, label: str, caption: str = "") -> str:
    are_numbers = [
        bool(table.rows) and all(_is_number(row[place]) or row[place] is None for row in table.rows)
        for place in range(len(table.columns))
    ]
    kinds = [' class="number"' if is_number else "" for is_number in are_numbers]
    head = "".join(
        f'<th scope="col"{kind}>{_text(name)}</th>'
        for name, kind in zip(table.columns, kinds, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(f"<td{kind}>{_text(value)}</td>" for value, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in table.rows
    )
    # A wide table is scrolled, by keyboard too.
    return (
        f'<div class="table" role="region" tabindex="0" aria-label="{_quoted(label)}">'
        f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _text(value: Any, limit: int = LONGEST_TEXT) -> str:
    """Write a value as HTML that stays within its element, whatever direction it is written in."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_number(value):
        return f"{value:,}" if isinstance(value, int) else _decimal(value)
    return f"<bdi>{escape(printable(str(value), limit))}</bdi>"


def _decimal(value: float) -> str:
    # A learning rate of a millionth is not nothing.
    return f"{value:.4f}" if value == 0 or abs(value) >= _SMALL else f"{value:.3g}"


def _quoted(text: str) -> str:
    return escape(printable(text, LONGEST_TEXT), quote=True)


def _plain(value: Any) -> Any:
    """Return a value as a chart's data has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return printable(value, LONGEST_TEXT) if isinstance(value, str) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


@cache
def _chart_library() -> str | None:
    """Return the script that draws Vega-Lite specifications; None where it is not installed."""
    try:
        import vl_convert
    except ImportError:
        return None
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script")
