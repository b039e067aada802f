"""How listings are written: tables that markup can't disturb, and JSON that is always the same."""

import io
import json
import math

import pytest
from rich.console import Console

from hooktune.cli.tables import json_text, table

NASTY = "[red]query[/red] \x1b[2J\x07 :smile:"


def printed(rows) -> str:
    output = io.StringIO()
    Console(file=output, width=200).print(table(["[bold]head"], rows))
    return output.getvalue()


def test_markup_and_control_characters_are_shown_as_they_are():
    text = printed([[NASTY]])
    assert "[bold]head" in text
    assert "[red]query[/red] \\x1b[2J\\x07 :smile:" in text


def test_numbers_are_right_aligned_and_what_is_missing_is_a_dash():
    assert [line.strip(" ") for line in printed([[0.5], [-0.0], [None]]).split("\n")[3:6]] == [
        "0.5000",
        "0.0000",
        "–",
    ]


def test_json_is_the_same_for_the_same_values_and_nan_is_null():
    values = {"metrics": {"one": math.nan}, "params": {"b": (1, math.nan), "a": "ü"}}
    text = json_text(values)
    assert text == json_text(dict(reversed(values.items())))
    read = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert read == {"metrics": {"one": None}, "params": {"a": "ü", "b": [1, None]}}
