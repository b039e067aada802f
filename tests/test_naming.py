import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hooktune.errors import RequestError
from hooktune.naming import (
    INITIAL_EXPERIMENT,
    IterationName,
    check_method_name,
    is_batch_id,
    iteration_name,
    parse_experiment_name,
)

BATCH_ID = "65844a671089823652b83d43"


def is_method_name(name: str) -> bool:
    try:
        check_method_name(name)
    except RequestError:
        return False
    return True


def test_an_iteration_is_named_after_its_method_and_batch():
    name = iteration_name("Default Fine Tuning Method", BATCH_ID)
    assert str(name) == f"iteration / Default Fine Tuning Method / {BATCH_ID}"


@settings(deadline=None)
@given(
    method=st.text(min_size=1, max_size=30).filter(is_method_name),
    batch_id=st.text("0123456789abcdef", min_size=24, max_size=24),
)
def test_every_name_that_is_built_is_read_back(method, batch_id):
    name = iteration_name(method, batch_id)
    assert parse_experiment_name(str(name)) == name


@pytest.mark.parametrize("method", ["a/b", "a /b", "Größe 2", "iteration", "Initial", "x" * 400])
def test_unusual_method_names_are_read_back(method):
    name = iteration_name(method, BATCH_ID)
    assert parse_experiment_name(str(name)) == IterationName(method, BATCH_ID)


@pytest.mark.parametrize(
    "foreign",
    [
        "Default",
        "",
        "iteration",
        "iteration / x",
        "iteration / a / b / c",
        "iteration / M / not-hex",
        f"Iteration / M / {BATCH_ID}",
        f"iteration / M / {BATCH_ID.upper()}",
        f"iteration / M / {BATCH_ID}\n",
        f"iteration / M / {BATCH_ID[1:]}",
        f"iteration / M / {BATCH_ID}0",
        f"iteration / a / b / {BATCH_ID}",
        f"iteration /  / {BATCH_ID}",
        f"iteration /  M / {BATCH_ID}",
        f"iteration/M/{BATCH_ID}",
        f" iteration / M / {BATCH_ID}",
        f"iteration / initial / {BATCH_ID}",
        INITIAL_EXPERIMENT,
    ],
)
def test_a_foreign_name_is_no_iteration(foreign):
    assert parse_experiment_name(foreign) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        (" M", "blank"),
        ("M ", "blank"),
        ("a\tb", "control character"),
        ("a / b", "separates the parts"),
        ("a /", "separates the parts"),
        ("/ a", "separates the parts"),
        ("initial", "initial models"),
        ("x" * 500, "longer than"),
    ],
)
def test_a_method_name_that_no_experiment_could_carry_is_refused(name, reason):
    with pytest.raises(RequestError, match=reason):
        iteration_name(name, BATCH_ID)


def test_a_batch_id_is_24_lower_case_hexadecimal_digits():
    assert is_batch_id(BATCH_ID)
    with pytest.raises(RequestError, match="no batch id"):
        iteration_name("M", "not-hex")
