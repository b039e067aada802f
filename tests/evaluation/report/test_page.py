"""The page of a report: whole by itself, and harmless whatever logs hold."""

import json
import re
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_report import made_facts

import hooktune_report
from hooktune import Chart, Paragraph, ReportSection, Table
from hooktune.evaluation.report import page as page_module
from hooktune.evaluation.report.page import render

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\u202etxt.exe \u2066 \u0000 \x1b[2J",
    '" onmouseover="alert(1)',
    "<!-- </main> -->",
    "]]> &lt; &#60;script&#62;",
]


class Elements(HTMLParser):
    """Counts the elements of a page, and keeps the data of its charts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.attributes: list[str] = []
        self.open: list[str] = []
        self.charts: list[dict] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.attributes += [name for name, _ in attrs]
        self.open.append("json" if ("type", "application/json") in attrs else tag)

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "json":
            self.charts.append(json.loads(data))
        elif self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def page_of(*parts, title: str = "Some Method") -> str:
    return render(title, "about", "It is better.", [ReportSection("Section", parts)])


def test_it_is_one_page_that_asks_nobody_for_anything():
    page = render("M", "a", "b", hooktune_report.report_sections(made_facts()))
    own = re.sub(r"<script( type=.text/plain.*?)?>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"(src|href)=|url\(|@import", own)
    assert "default-src 'none'" in own
    assert len(page) < 1_500_000


def test_each_chart_has_its_values_as_a_table_too():
    table = Table("By month", ("month", "value"), (("May", 1.5), ("June", None)))
    found = Elements(page_of(Chart(table, {"mark": "bar", "encoding": {}})))
    (chart,) = found.charts
    assert chart["mark"] == "bar"
    assert chart["data"]["values"] == [
        {"month": "May", "value": 1.5},
        {"month": "June", "value": None},
    ]
    assert found.counts["table"] == 1
    assert all(text in found.text for text in ("By month", "May", "1.5000", "–"))


def test_without_the_library_the_tables_are_there(monkeypatch):
    page_module._chart_library.cache_clear()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    try:
        found = Elements(page_of(Chart(Table("By month", ("value",), ((1,),)), {"mark": "bar"})))
    finally:
        page_module._chart_library.cache_clear()
    assert found.charts == []
    assert "script" not in found.counts
    assert found.counts["table"] == 1


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_stay_texts(hostile: str):
    def of(text: str) -> Elements:
        table = Table(text, ("a", text), ((text, 1.0),))
        parts = (Paragraph(text, is_warning=True), table, Chart(table, {"mark": "bar"}))
        return Elements(page_of(*parts, title=text))

    found, harmless = of(hostile), of("harmless")
    assert found.counts == harmless.counts
    assert found.attributes == harmless.attributes
    assert all(char.isprintable() or char == "\n" for char in found.text)


def test_a_long_query_is_cut_and_its_length_is_told():
    page = page_of(Paragraph("x" * 100_000), Table("t", ("q",), (("y" * 100_000,),)))
    assert "(100000 characters)" in page
    assert "x" * 3000 not in page
    assert "y" * 400 not in page


@settings(max_examples=50, deadline=None)
@given(st.text(), st.one_of(st.none(), st.floats(), st.integers(), st.booleans(), st.text()))
def test_any_value_can_be_shown(text: str, value: object):
    found = Elements(page_of(Table(text, (text,), ((value,),))))
    assert found.counts["td"] == 1
