"""What is said of an error."""

import errno
import shutil

import pytest

from hooktune.errors import HooktuneError, did_you_mean, in_words, within_sentence


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/x/model.safetensors"),
        shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")]),
        RuntimeError("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT ...]"),
    ],
)
def test_a_full_disk_is_told_in_one_line(error: Exception):
    said = in_words(error)
    assert said.startswith("No space is left on the disk. Free some")
    assert "\n" not in said


def test_any_other_error_is_told_by_its_kind():
    assert in_words(ValueError("no luck\nat all")) == "ValueError: no luck\nat all"


def test_the_nearest_known_word_is_named():
    assert did_you_mean("aple", ["apple", "pear"]) == "Did you mean 'apple'?"
    assert did_you_mean("xyz", ["b", "a"]) == "There are: 'a', 'b'."
    assert did_you_mean("xyz", []) == "There are none."


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("It is gone: No such file.. Name another.", "It is gone: No such file. Name another."),
        ("It failed:\n  one line\nanother", "It failed: one line another"),
        ("The folder ../logs is empty...", "The folder ../logs is empty..."),
        ("Give postgresql://... or .. as a folder", "Give postgresql://... or .. as a folder"),
    ],
)  # fmt: skip
def test_what_others_say_is_joined_to_one_line_without_double_stops(message: str, said: str):
    assert str(HooktuneError(message)) == said


def test_what_others_say_loses_its_full_stop_within_a_sentence():
    assert within_sentence("ValueError: no.\nReally no.") == "ValueError: no. Really no"
