"""Texts of other people, made harmless."""

import logging
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooktune.cli import main
from hooktune.cli.tables import json_text
from hooktune.cli.terminal import say, talking
from hooktune.plain_text import encodable, markdown, markdown_code, printable, printable_lines

NASTY = "<script>alert(1)</script>\x1b[2J\r\x9b2J\n| **b** [x](javascript:y) `c`\u202e\ud800"


@given(st.text())
def test_what_is_printable_stays_and_the_rest_is_escaped(text: str):
    said = printable(text)
    assert said.isprintable()
    if text.isprintable():
        assert said == text


def test_a_long_text_is_cut():
    assert printable("a" * 100_000, 10) == "a" * 10 + "… (100000 characters)"
    assert len(markdown("<" * 100_000)) < 2000


def test_lines_stay_lines():
    assert printable_lines("a\n\tb\x1b[2J") == "a\n\\tb\\x1b[2J"


def test_markdown_shows_a_text_as_it_is():
    assert markdown("a_b [x](y) <i>") == r"a\_b \[x\]\(y\) &lt;i&gt;"
    assert markdown("so: http://x") == "so: http&#58;//x"
    assert markdown_code("learning_rate=1e-05, epochs=2") == "`learning_rate=1e-05, epochs=2`"
    said = markdown_code(NASTY)
    assert "<" not in said
    assert "\n" not in said
    assert r"\[x\]" in said
    assert r"\|" in said


def test_nothing_of_it_reaches_a_terminal(capsys: pytest.CaptureFixture[str]):
    say(NASTY)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.removesuffix("\n").isprintable()
    assert "\x9b" not in json_text({"query": NASTY})
    json_text({"query": NASTY}).encode()


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Returns what the command line's handler has written."""
    logger = logging.getLogger("hooktune")
    before = logger.handlers, logger.propagate, logger.level
    with talking(verbose=True, quiet=False):
        yield lambda: capsys.readouterr().err
    logger.handlers, logger.propagate, logger.level = before


def test_a_line_of_the_log_is_one_line(log: Callable[[], str]):
    logging.getLogger("hooktune.any").warning("the query %s", NASTY + "a" * 100_000)
    said = log()
    assert said.count("\n") == 1
    assert said.removesuffix("\n").isprintable()
    assert len(said) < 5000


def test_a_traceback_in_the_log_has_no_control_character(log: Callable[[], str]):
    try:
        raise ValueError(NASTY)
    except ValueError:
        logging.getLogger("hooktune.any").debug("why", exc_info=True)
    lines = log().splitlines()
    assert lines[1].startswith("Traceback")
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("options", [[], ["-v"]])
def test_an_error_message_has_no_control_character(
    options: list[str], capsys: pytest.CaptureFixture[str], tmp_path
):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(SystemExit) as end:
        main([*options, "--tracking-uri", store, "runs", "\x1b[2Jno\nsuch"])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert "\\x1b[2Jno\\nsuch" in said
    assert all(line.isprintable() for line in said.splitlines())


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("plain, é, \U0001f600", "plain, é, \U0001f600"),
        ("half \ud800 of one", "half \\ud800 of one"),
        ("a file name's byte \udcff", "a file name's byte \\udcff"),
    ],
)
def test_what_utf_8_cannot_hold_is_escaped(text, held):
    assert encodable(text) == held
    assert held.encode("utf-8")
