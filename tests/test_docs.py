"""The documentation names every hook and every command, and what the tutorial says is true."""

import ast
import os
import re
import shlex
import shutil
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner
from warm_python import run_python

import hooktune
from hooktune import Findings, LogSource
from hooktune.cli import cli
from hooktune.data.release import Log, release_log
from hooktune.plugin.checks import HOOKS, REQUIRED_HOOKS, Plugin
from hooktune.plugin.log_readers import LogReader

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPOKEN = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
"""A command of a console, and what it prints."""


def sections(text):
    """Return the text of each section by its heading."""
    parts = re.split(r"^##+ (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(group, prefix="hooktune"):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}"


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_documented_with_all_its_arguments(hook):
    section = sections((DOCS / "plugins" / "hooks.md").read_text(encoding="utf-8"))[hook]
    assert f"`{hook}({', '.join(HOOKS[hook])})`" in section
    for argument in HOOKS[hook]:
        assert re.search(rf"^- `{argument}`: ", section, re.MULTILINE), argument
    assert re.search(r"^Called ", section, re.MULTILINE)
    assert re.search(r"^Returns ", section, re.MULTILINE)
    assert "Since 0." in section
    assert ("Required of a " in section) == (hook in REQUIRED_HOOKS)
    assert f"Required of a {REQUIRED_HOOKS.get(hook, '')}" in section or hook not in REQUIRED_HOOKS


@pytest.mark.parametrize("command", [*commands(cli)])
def test_a_command_is_documented(command):
    assert command in sections((DOCS / "commands.md").read_text(encoding="utf-8"))


def test_documented_hooks_and_commands_exist():
    assert set(sections((DOCS / "plugins" / "hooks.md").read_text(encoding="utf-8"))) == set(HOOKS)
    documented = sections((DOCS / "commands.md").read_text(encoding="utf-8"))
    assert {each for each in documented if each.startswith("hooktune ")} <= set(commands(cli))


def test_every_check_of_a_plugin_is_documented():
    from hooktune.testing.method_checks import METHOD_CHECKS
    from hooktune.testing.metric_checks import METRIC_CHECKS

    page = (DOCS / "plugins" / "testing.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert documented == [each.name for each in (*METHOD_CHECKS, *METRIC_CHECKS)]


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.long
def test_the_tutorial_works_as_it_is_written(tmp_path, make_batch, tiny_model_folder):
    work, site = tmp_path / "work", tmp_path / "site"
    (work / "hooktune-demo").mkdir(parents=True)
    make_batch().rename(work / "hooktune-demo" / "batch")
    environment = os.environ | {
        "PYTHONPATH": str(site),
        # Installed beside this Python's own packages, and without a network.
        "PIP_TARGET": str(site),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    tutorial = (DOCS / "plugins" / "tutorial.md").read_text(encoding="utf-8")
    for language, file, text in BLOCK.findall(tutorial):
        if file:
            (work / file).write_text(text, encoding="utf-8")
            continue
        assert language == "console"
        for command, expected in SPOKEN.findall(text):
            program, *arguments = shlex.split(command)
            module = [] if program == "python" else ["-m", program]
            if (program, arguments[0]) == ("hooktune", "run"):
                # The demo's batch and model take minutes to make; small ones stand in for them.
                arguments += ["--initial-model", str(tiny_model_folder), "--device", "cpu"]
            done = run_python(*module, *arguments, cwd=work, env=environment)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            printed = " ".join(done.stdout.split())
            for line in expected.splitlines():
                assert " ".join(line.split()) in printed, f"{command}\n{done.stdout}"


@pytest.mark.parametrize("page", sorted((DOCS / "logs").glob("*.md")), ids=lambda page: page.stem)
def test_each_source_of_logs_is_released_as_its_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for language, file, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if file:
            (tmp_path / file).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, str(page), "exec"), {})
        elif language == "console":
            for command, expected in re.findall(
                r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE
            ):
                done = CliRunner().invoke(cli, shlex.split(command)[1:])
                assert done.exit_code == 0, f"{command}\n{done.output}"
                printed = " ".join(done.output.split())
                for line in expected.splitlines():
                    assert " ".join(line.split()) in printed, f"{command}\n{done.output}"
    assert (tmp_path / "batch" / "manifest.json").exists()


def test_the_reader_of_the_page_on_readers_reads_a_log(tmp_path, monkeypatch):
    page = (DOCS / "plugins" / "log-readers.md").read_text(encoding="utf-8")
    ((program, _),) = (
        (text, file) for _, file, text in BLOCK.findall(page) if file == "pipe_log.py"
    )
    module = ModuleType("pipe_log")
    exec(compile(program, "pipe_log.py", "exec"), vars(module))
    log, items = tmp_path / "log.pipes", tmp_path / "items.jsonl"
    log.write_text("red shoes|7,9|9\nblue shoes|9|\noops\n", encoding="utf-8")
    items.write_text('{"object_id": "7", "text": "a"}\n{"object_id": "9", "text": "b"}\n')
    source = LogSource((str(log),), findings=Findings(tolerated=0.5))
    reader = LogReader(Plugin("pipes", "log reader", module))
    assert reader.recognise(source) == "its name ends with .pipes"
    opened = Log(str(log), "pipes", reader.read(source), source.findings)
    manifest = release_log(opened, items, tmp_path / "batch")
    assert (manifest.counts.sessions, manifest.counts.clicks) == (2, 1)
    assert "line 3: a line is" in manifest.found[0].examples[0]


def test_the_program_in_python_works_as_it_is_written(tmp_path, write_log, tiny_model_folder):
    ((program, _),) = (
        (text, file)
        for language, file, text in BLOCK.findall((DOCS / "python.md").read_text(encoding="utf-8"))
        if file == "tune.py"
    )
    assert len(program.splitlines()) <= 30
    spoken_of = {
        node.attr
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "hooktune"
    }
    assert spoken_of <= set(hooktune.__all__)
    for path, name in zip(write_log(), ("clicks.jsonl", "items.jsonl"), strict=True):
        shutil.copy(path, tmp_path / name)
    shutil.copytree(tiny_model_folder, tmp_path / "models" / "start")
    (tmp_path / "tune.py").write_text(program, encoding="utf-8")
    done = run_python("tune.py", cwd=tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for expected in (
        "<BatchManifest ",
        "StepProgress(run='run 2/2', step=",
        "<MethodOutcome method='Attract Clicked Results', runs=3, best_run=",
        "<Promotion model=",
        "(32,)",
    ):
        assert expected in done.stdout
