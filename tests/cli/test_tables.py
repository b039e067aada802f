"""How listings are written: tables that markup can't disturb, and JSON that is always the same."""

import json
import math
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hooktune.cli.tables import Column, Table, json_text

NASTY = "[red]query[/red] \x1b[2J\x07 :smile:"


def printed(rows) -> str:
    return Table([Column("[bold]head")], rows).render()


def test_markup_and_control_characters_are_shown_as_they_are():
    text = printed([[NASTY]])
    assert "[bold]head" in text
    assert "[red]query[/red] \\x1b[2J\\x07 :smile:" in text


def test_numbers_are_right_aligned_and_what_is_missing_is_a_dash():
    assert [line.strip(" ") for line in printed([[0.5], [-0.0], [None]]).split("\n")[2:5]] == [
        "0.5000",
        "0.0000",
        "–",
    ]


RUN_ID = "0123456789abcdef0123456789abcdef"
COLUMNS = (
    Column("method", is_prose=True), Column("metric_of_long_name", 5), Column("another_metric", 2),
    Column("reason", 3, is_prose=True), Column("run id"), Column("model"),
)  # fmt: skip


def rows_of(method: str) -> list[tuple[object, ...]]:
    address = f"runs:/{RUN_ID}/model"
    return [
        (method, 0.123, None, "it has failed for a reason", run_id, address)
        for run_id in (RUN_ID, RUN_ID[::-1])
    ]


@given(
    st.integers(20, 220),
    st.text(string.ascii_letters + string.digits + "_-/ ä漢", max_size=90),
)
@example(40, "Default Fine Tuning Method")
@example(80, "Default Fine Tuning Method")
@example(100, "M" * 90)
@example(150, "Default Fine Tuning Method")
def test_ids_and_addresses_stand_whole_on_a_line_at_every_width(width: int, method: str):
    text = Table(COLUMNS, rows_of(method)).render(width)
    words = [line.split() for line in text.splitlines()]
    for whole in (RUN_ID, RUN_ID[::-1], f"runs:/{RUN_ID}/model", *method.split()):
        assert any(whole in line for line in words), (whole, text)


@pytest.mark.parametrize("width", [100, 120, 150, 200])
def test_a_table_is_never_wider_than_the_terminal(width: int):
    lines = Table(COLUMNS, rows_of("Default Fine Tuning Method")).render(width).splitlines()
    assert max(map(len, lines)) <= width


def test_the_columns_that_matter_least_go_first_and_are_named():
    text = Table(COLUMNS, rows_of("Default Fine Tuning Method")).render(112)
    assert "0.1230" in text
    assert "another_" not in text.splitlines()[0]
    assert "too narrow for: another_metric" in text


def test_where_no_row_fits_each_is_a_list_of_lines():
    text = Table(COLUMNS, rows_of("Default Fine Tuning Method")).render(44)
    first, second = text.split("\n\n")
    assert first.splitlines() == [
        "method: Default Fine Tuning Method",
        "metric_of_long_name: 0.1230",
        "another_metric: –",
        "reason: it has failed for a reason",
        f"run id: {RUN_ID}",
        "model:",
        f"  runs:/{RUN_ID}/model",
    ]
    assert RUN_ID[::-1] in second


def test_a_file_gets_every_column_on_one_line_a_row():
    text = Table(COLUMNS, rows_of("word " * 60)).render()
    assert len(text.splitlines()) == 4


def test_json_is_the_same_for_the_same_values_and_nan_is_null():
    values = {"metrics": {"one": math.nan}, "params": {"b": (1, math.nan), "a": "ü"}}
    text = json_text(values)
    assert text == json_text(dict(reversed(values.items())))
    read = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert read == {"metrics": {"one": None}, "params": {"a": "ü", "b": [1, None]}}
