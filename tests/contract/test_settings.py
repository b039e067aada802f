"""The settings of an iteration: one class owns their bounds, their words and their tags."""

from pathlib import Path

import pytest
from pydantic import ValidationError

import hooktune
from hooktune.contract.metric import MainMetric
from hooktune.contract.settings import (
    AskedSettings,
    IterationSettings,
    check_settings,
    wording,
)
from hooktune.errors import RequestError

OTHERS = IterationSettings(
    main_metric=MainMetric("test_loss", greater_is_better=False),
    seed=7,
    test_ratio=0.25,
    holdout_ratio=0.125,
    split_by="time",
    baseline="recorded",
    guard=(MainMetric("test_mrr"), MainMetric("test_loss", greater_is_better=False)),
    judgements="0123456789abcdef01234567",
)


def test_settings_are_read_back_from_their_tags():
    for settings in (IterationSettings(), OTHERS):
        tags = {tag: str(value) for tag, value in settings.as_facts().items()}
        assert IterationSettings.from_tags({**tags, "mlflow.note.content": "ours"}) == settings


def test_tags_are_those_that_stores_hold_already():
    assert OTHERS.as_facts() == {
        "hooktune.main_metric": "test_loss:min",
        "hooktune.seed": 7,
        "hooktune.test_ratio": 0.25,
        "hooktune.holdout_ratio": 0.125,
        "hooktune.split_by": "time",
        "hooktune.baseline": "recorded",
        "hooktune.guard": "test_mrr:max, test_loss:min",
        "hooktune.judgements": "0123456789abcdef01234567",
    }


@pytest.mark.parametrize(
    "edited", [{"hooktune.test_ratio": "7"}, {"hooktune.seed": "-1"}, {"hooktune.baseline": ""}]
)
def test_tags_that_somebody_edited_are_no_settings(edited: dict[str, str]):
    tags = {tag: str(value) for tag, value in OTHERS.as_facts().items()}
    assert IterationSettings.from_tags({**tags, **edited}) is None
    for missing in tags:
        assert IterationSettings.from_tags({**tags, missing: ""}) is None
    later = {"hooktune.guard", "hooktune.holdout_ratio", "hooktune.judgements", "hooktune.split_by"}
    for missing in tags.keys() - later:
        assert (
            IterationSettings.from_tags({tag: tags[tag] for tag in tags.keys() - {missing}}) is None
        )


def test_a_setting_that_came_later_has_its_default_in_older_stores():
    class Later(IterationSettings):
        holdout: float = 0.1

    tags = {tag: str(value) for tag, value in OTHERS.as_facts().items()}
    assert Later.from_tags(tags) == Later(**dict(OTHERS))
    assert Later.from_tags({**tags, "hooktune.holdout": "0.3"}).holdout == 0.3


def test_guards_are_given_as_texts_or_as_metrics_and_may_be_none():
    asked = check_settings({"guard": ["test_mrr", "test_loss:min"]})["guard"]
    assert asked == OTHERS.guard == check_settings({"guard": OTHERS.guard})["guard"]
    assert check_settings({"guard": "none"}) == {"guard": ()}
    assert check_settings({"guard": ("none",)}) == {"guard": ()}
    none = IterationSettings(guard=())
    tags = {tag: str(value) for tag, value in none.as_facts().items()}
    assert tags["hooktune.guard"] == "none"
    assert IterationSettings.from_tags(tags) == none
    with pytest.raises(RequestError, match="'test_mrr:up' is no metric"):
        check_settings({"guard": ["test_mrr:up"]})


def test_what_is_left_open_is_not_asked_for():
    asked = check_settings({"seed": 3, "test_ratio": None, "main_metric": "test_loss:min"})
    assert asked == {"seed": 3, "main_metric": MainMetric("test_loss", greater_is_better=False)}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"test_ratio": 1},
            r"The test ratio cannot be 1: .* above 0 and below 1. .* is 0.2",
        ),
        ({"seed": -1}, r"The seed cannot be -1: .* at least 0 and at most 4294967295"),
        ({"seed": "x"}, r"The seed cannot be 'x': it should be a valid integer"),
        ({"baseline": "none"}, r"The baseline cannot be 'none': it should be 'starting' or"),
        ({"main_metric": "test_mrr:up"}, r"Write NAME, NAME:max \(higher is better\) or NAME:min"),
        ({"sead": 1}, r"There is no setting 'sead'. Did you mean 'seed'\?"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(asked: AskedSettings, said: str):
    with pytest.raises(RequestError, match=said):
        check_settings(asked)


def test_settings_stay_as_they_are():
    with pytest.raises(ValidationError):
        OTHERS.seed = 8


def test_each_setting_has_its_words_and_can_be_asked_for():
    assert AskedSettings.__annotations__.keys() == IterationSettings.model_fields.keys()
    for name, field in IterationSettings.model_fields.items():
        assert field.description.endswith(".")
        assert wording(name).differing
    assert OTHERS.in_words() == [
        "The best model is chosen by test_loss (lower is better).",
        "The seed is 7.",
        "25% of the queries are held out for testing, and not trained on.",
        "12% of the queries are seen by no choice, and measured once.",
        "The sessions are split by time.",
        "Distance shift is measured from the recorded scores.",
        "No run is kept that is worse than the starting model by: test_mrr:max, test_loss:min.",
        "The judgements are: 0123456789abcdef01234567.",
    ]


def test_a_setting_is_named_where_it_is_defined_and_used_alone():
    core = Path(hooktune.__file__).parent
    naming = [file for file in core.rglob("*.py") if "test_ratio" in file.read_text()]
    assert len(naming) <= 5
