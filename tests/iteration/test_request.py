"""What a user asks for, and that it is checked before anything else."""

import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from hooktune import RunOptions
from hooktune.contract.settings import IterationSettings
from hooktune.errors import RequestError
from hooktune.iteration.request import Request, make_request


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_runs": 0},
        {"settings": {"test_ratio": 0.0}},
        {"settings": {"test_ratio": 1.0}},
        {"settings": {"seed": -1}},
        {"settings": {"seed": 2**32}},
    ],
)
def test_a_request_out_of_bounds_is_refused(wrong: dict[str, Any]):
    with pytest.raises(RequestError):
        Request(**wrong)


def test_a_checkpoint_is_kept_every_so_many_seconds():
    assert Request(checkpoint_every=0).checkpoint_every == 0
    for seconds in (-1.0, float("nan")):
        with pytest.raises(RequestError, match="every so many seconds"):
            Request(checkpoint_every=seconds)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_runs": 0}, "At least one run is needed, and 0 is asked for"),
        ({"max_runs": "4"}, "At least one run is needed, and '4' is asked for"),
        ({"params": ["rate=1"]}, "Hyper-parameters are values by name"),
        ({"checkpoint_every": "often"}, "every so many seconds"),
        ({"max_run": 4}, "There is no option 'max_run'. Did you mean 'max_runs'?"),
        ({"test_ratio": 2}, "test ratio cannot be 2"),
    ],
)
def test_a_wrong_option_is_refused(options: RunOptions, reason: str):
    with pytest.raises(RequestError, match=reason):
        make_request(options)


def test_options_that_are_left_open_have_their_defaults():
    assert make_request({}) == make_request({"max_runs": None, "seed": None}) == Request()
    request = make_request({"max_runs": 2, "seed": 3, "main_metric": "test_mrr"})
    assert request == Request(max_runs=2, settings={"seed": 3, "main_metric": "test_mrr"})


def test_options_are_those_of_the_request_and_of_the_settings():
    own = {option.name for option in fields(Request)} - {"settings"}
    assert set(RunOptions.__annotations__) == own | set(IterationSettings.model_fields)


WRONG = """
import sys
from hooktune import RequestError, Runner
try:
    Runner(plugins=["missing.py"]).run("missing.py", "missing", max_runs=0)
except RequestError as error:
    assert "At least one run is needed" in str(error), error
assert not {"torch", "mlflow", "sentence_transformers"} & sys.modules.keys()
"""


def test_a_wrong_request_is_refused_before_anything_is_imported():
    subprocess.run([sys.executable, "-c", WRONG], check=True, timeout=60)
