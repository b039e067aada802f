import pytest

from hooktune.tracking.addresses import addresses_of
from hooktune.tracking.store_address import read_store_address


@pytest.mark.parametrize(
    ("uri", "store", "page"),
    [
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db", None),
        (
            "https://mlflow.example.com/",
            "https://mlflow.example.com/",
            "https://mlflow.example.com/#/experiments/7/runs/abc",
        ),
        (
            "http://ann:secret@host:5000/team",
            "http://ann:***@host:5000/team",
            "http://host:5000/team/#/experiments/7/runs/abc",
        ),
        ("postgresql://ann:secret@host/mlflow", "postgresql://ann:***@host/mlflow", None),
    ],
)
def test_a_run_has_a_page_where_the_store_is_a_server_and_no_password_shows(uri, store, page):
    found = addresses_of(read_store_address(uri), "7", "abc", "runs:/abc/model")
    assert (found.store, found.page, found.model) == (store, page, "runs:/abc/model")


def test_without_a_run_the_page_is_that_of_the_experiment():
    assert (
        addresses_of(read_store_address("http://host"), "7", None, None).page
        == "http://host/#/experiments/7"
    )
