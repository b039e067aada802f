import json
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_zoo import METHODS, opened_zoo

from hooktune.errors import PluginRequestError, RequestError
from hooktune.plugin.catalogue import load_plugin, read_catalogue

DEFAULT = "Default Fine Tuning Method"


@pytest.fixture
def zoo(tmp_path):
    with opened_zoo(tmp_path / "site") as opened:
        yield opened


def entry_of(name, **settings):
    [entry] = [each for each in read_catalogue(**settings).entries if each.name == name]
    return entry


def test_an_installed_method_is_known_by_its_display_name(zoo):
    module = zoo.install("acme-tuning", method="Acme Method", version="2.5")
    entry = read_catalogue().method("Acme Method")
    assert (entry.kind, entry.target) == ("method", module)
    assert (entry.distribution, entry.version) == ("acme-tuning", "2.5")
    assert entry.label == "The method 'Acme Method' (acme-tuning 2.5)"


def test_methods_come_first_and_each_kind_by_name(zoo):
    zoo.install("b", method="B", extension="A timer")
    zoo.install("a", method="A")
    entries = read_catalogue(only=["a", "b"]).entries
    usable = [(each.kind, each.name) for each in entries if each.status == "available"]
    assert usable == [("method", "A"), ("method", "B"), ("extension", "A timer")]


def test_reading_imports_neither_plugins_nor_heavy_libraries(zoo):
    zoo.install("acme", "raise SystemExit('imported')", method="Acme", extension="acme metrics")
    program = (
        "import json, sys\n"
        "from hooktune.plugin.catalogue import read_catalogue\n"
        "names = [each.name for each in read_catalogue().entries]\n"
        "print(json.dumps([names, sorted(sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(zoo.site)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names, modules = json.loads(done.stdout)
    assert {"Acme", "acme metrics", DEFAULT} <= set(names)
    heavy = {"torch", "mlflow", "pydantic", "sentence_transformers", "hooktune_default"}
    assert not {*heavy, "hooktune_metrics", "zoo_acme"} & set(modules)


def test_an_unknown_method_is_refused_with_the_nearest_name(zoo):
    zoo.install("acme", method="Acme Method")
    with pytest.raises(RequestError, match=r"no method .acme methd.\. Did you mean .Acme Method"):
        read_catalogue().method("acme methd")


@pytest.mark.parametrize("name", ["Acme Method", "acme.tuning", "ACME_Tuning", "acme-tuning"])
def test_a_plugin_is_blocked_by_its_name_or_its_distribution(zoo, monkeypatch, name):
    zoo.install("Acme.Tuning", method="Acme Method")
    assert entry_of("Acme Method", block=[name]).status == "blocked"
    monkeypatch.setenv("HOOKTUNE_BLOCK", f"other, {name}")
    with pytest.raises(PluginRequestError, match=r"Acme.Tuning 1.0.*HOOKTUNE_BLOCK blocks it"):
        read_catalogue().method("Acme Method")


def test_a_closed_list_leaves_out_everything_else(zoo, monkeypatch):
    zoo.install("acme", method="Acme")
    zoo.install("other", method="Other")
    monkeypatch.setenv("HOOKTUNE_ONLY", "acme,hooktune")
    available = [each.name for each in read_catalogue().available("method")]
    assert available == ["Acme", DEFAULT, "Query Map Method"]
    assert [each.name for each in read_catalogue(only=["Acme", "Other"]).available("method")] == [
        "Acme"
    ]
    assert "HOOKTUNE_ONLY does not name it" in entry_of("Other").reason


def test_an_empty_variable_closes_nothing(zoo, monkeypatch):
    zoo.install("acme", method="Acme")
    monkeypatch.setenv("HOOKTUNE_ONLY", "")
    assert entry_of("Acme").status == "available"


def test_both_claimants_of_a_name_are_refused_until_one_is_blocked(zoo):
    zoo.install("pirate", method=DEFAULT, version="6.6")
    with pytest.raises(PluginRequestError) as refusal:
        read_catalogue().method(DEFAULT)
    for part in ("hooktune 0.", "pirate 6.6", "HOOKTUNE_BLOCK=pirate", "--block hooktune"):
        assert part in str(refusal.value)
    assert read_catalogue(block=["pirate"]).method(DEFAULT).distribution == "hooktune"


def test_a_method_and_an_extension_may_share_a_name(zoo):
    zoo.install("acme", method="Acme", extension="Acme")
    assert [each.status for each in read_catalogue().entries if each.name == "Acme"] == [
        "available", "available",
    ]  # fmt: skip


def test_one_distribution_found_twice_does_not_clash_with_itself(zoo, tmp_path):
    with opened_zoo(tmp_path / "leftover") as leftover:
        leftover.install("Acme-Tuning", method="Acme", version="2.0")
        zoo.install("acme.tuning", method="Acme", version="1.0")
        assert read_catalogue().method("Acme").version == "2.0"


@pytest.mark.parametrize("name", ["a / b", "initial", ""])
def test_a_method_name_that_no_experiment_could_carry_is_refused(zoo, name):
    zoo.install("acme", method=name)
    entry = entry_of(name)
    assert (entry.status, entry.distribution) == ("refused", "acme")
    assert "cannot be a method's name" in entry.reason


@pytest.mark.parametrize("metadata", ["", "Name: broken\n", "\x00"])
def test_broken_metadata_takes_nothing_else_down(zoo, metadata):
    zoo.install("broken", method="Broken", metadata=metadata)
    zoo.install("acme", method="Acme")
    assert read_catalogue().method("Acme")
    with pytest.raises(PluginRequestError, match=r"broken of unknown version.*cannot be read"):
        read_catalogue().method("Broken")


def test_unreadable_entry_points_take_nothing_else_down(zoo, caplog):
    zoo.install("acme", method="Acme")
    zoo.install("broken", method="Broken")
    folder = zoo.site / "broken-1.0.dist-info"
    (folder / "entry_points.txt").write_bytes(b"[hooktune.methods]\nBr\xff = x")
    assert read_catalogue().method("Acme")
    assert "broken-1.0.dist-info" in caplog.text


@pytest.mark.parametrize(
    ("requires", "status"),
    [
        ("hooktune>=99", "refused"),
        ("Hooktune[demo]>=99,<100", "refused"),
        ("hooktune<0.0.1", "refused"),
        ("hooktune>=0.1", "available"),
        ("hooktune>=99; extra == 'all'", "available"),
        ("hooktune>=99; python_version < '3'", "available"),
        ("hooktune-extras>=99", "available"),
        ("what is this", "available"),
    ],
)
def test_a_plugin_that_needs_another_hooktune_says_so(zoo, requires, status):
    zoo.install("acme", method="Acme", requires=requires)
    entry = entry_of("Acme")
    assert entry.status == status
    assert status == "available" or "this is hooktune 0." in entry.reason


def test_loading_gives_the_module_or_the_object_in_it(zoo):
    zoo.install("acme", "class inner: plugin = 7", extension="acme", attribute="inner.plugin")
    zoo.install("plain", extension="plain")
    assert load_plugin(entry_of("acme")) == 7
    assert load_plugin(entry_of("plain")) is sys.modules["zoo_plain"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raises", "RuntimeError: no licence found"),
        ("exits", "SystemExit: 3"),
        ("garbled", "SyntaxError: .*line 1"),
    ],
)
def test_a_failing_import_is_told_with_its_distribution_and_how_to_block_it(zoo, fault, reason):
    zoo.install(f"bad-{fault}", METHODS[fault], method=fault)
    with pytest.raises(PluginRequestError, match=rf"\(bad-{fault} 1.0\).*{reason}") as failure:
        load_plugin(entry_of(fault))
    assert f"HOOKTUNE_BLOCK=bad-{fault}" in str(failure.value)


@pytest.mark.parametrize("attribute", ["missing", "not an attribute"])
def test_a_target_that_is_not_there_is_a_failing_import(zoo, attribute):
    zoo.install("acme", method="Acme", attribute=attribute)
    with pytest.raises(PluginRequestError, match="AttributeError"):
        load_plugin(entry_of("Acme"))


def test_ctrl_c_during_an_import_is_no_fault_of_the_plugin(zoo):
    zoo.install("acme", "raise KeyboardInterrupt", method="Acme")
    with pytest.raises(KeyboardInterrupt):
        load_plugin(entry_of("Acme"))


def test_a_blocked_plugin_is_not_imported(zoo):
    module = zoo.install("acme", method="Acme")
    with pytest.raises(PluginRequestError, match="--block blocks it"):
        load_plugin(entry_of("Acme", block=["acme"]))
    assert module not in sys.modules
    assert Path(zoo.site, f"{module}.py").exists()
