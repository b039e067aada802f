"""A package written by `hooktune new` installs, passes its own tests and is found."""

import os
import subprocess
import sys
import tomllib

import pytest
from warm_python import run_python

from hooktune.errors import RequestError
from hooktune.plugin.scaffold import module_name, write_package

NAME = "Größe: 2nd 'Try' $x"


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("Softmax", "hooktune_softmax"),
        ("two  words-and_a.dot", "hooktune_two_words_and_a_dot"),
        ("2nd Übung!", "hooktune_2nd_ubung"),
        ("Straße", "hooktune_strasse"),
        ("class", "hooktune_class"),
        ("torch", "hooktune_torch"),
        ("hooktune softmax", "hooktune_softmax"),
    ],
)
def test_the_module_is_called_after_the_display_name(name, module):
    assert module_name(name) == module
    assert module.isidentifier()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("a / b", "separates the parts"),
        ("a=b", "entry point"),
        ("#1", "entry point"),
        ("方法", "no ASCII letter"),
        ("!?", "no ASCII letter"),
        ("Default", "part of hooktune"),
        ("Default Fine Tuning Method", r"hooktune \d.* has this name already"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_with_the_reason(tmp_path, name, reason):
    with pytest.raises(RequestError, match=reason):
        write_package(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_as_it_is(tmp_path):
    folder = tmp_path / "hooktune-softmax"
    folder.mkdir()
    with pytest.raises(RequestError, match="exists already"):
        write_package("Softmax", tmp_path)
    assert not list(folder.iterdir())


def test_the_folder_to_write_to_is_made(tmp_path):
    folder = write_package("Softmax", tmp_path / "new" / "place")
    assert folder == tmp_path / "new" / "place" / "hooktune-softmax"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) == [
        "README.md", "hooktune_softmax.py", "pyproject.toml", "tests/test_hooktune_softmax.py",
    ]  # fmt: skip


def test_the_display_name_is_the_entry_point(tmp_path):
    text = (write_package(NAME, tmp_path) / "pyproject.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["project"]["entry-points"] == {
        "hooktune.methods": {NAME: "hooktune_grosse_2nd_try_x"}
    }


def test_what_is_written_keeps_a_common_style(tmp_path):
    folder = write_package(NAME, tmp_path)
    ruff = [sys.executable, "-m", "ruff"]
    arguments = ["--isolated", "--no-cache", "--line-length=100", str(folder)]
    rules = "--select=E,F,W,UP,B,A,C4,RET,SIM,RUF"
    subprocess.run([*ruff, "check", rules, "--ignore=RUF001", *arguments], check=True)
    subprocess.run([*ruff, "format", "--check", *arguments], check=True)


def test_once_installed_it_passes_its_own_tests_is_found_and_runs(
    tmp_path, make_batch, tiny_model_folder, store_uri
):
    folder, site = write_package(NAME, tmp_path), tmp_path / "site"
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *offline, folder], check=True)
    environment = os.environ | {"PYTHONPATH": str(site)}
    listed = subprocess.run(
        [sys.executable, "-m", "hooktune", "plugins"],
        env=environment, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert NAME in listed
    assert "hooktune-grosse-2nd-try-x" in listed
    tested = run_python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder, env=environment)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    done = run_python(
        "-m", "hooktune", "--tracking-uri", store_uri, "run", NAME, make_batch(),
        "--initial-model", tiny_model_folder, "--device", "cpu", "--max-runs", 1,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "FINISHED" in done.stdout
