"""What an iteration and a method are told: the settings, each with its bounds, words and tag."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, Self, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hooktune.contract.collection_metrics import COLLECTION_RANKING_METRIC
from hooktune.contract.fields import allowed_in_words, reason_in_words
from hooktune.contract.metric import (
    DEFAULT_GUARDS,
    JUDGED_METRIC,
    NO_GUARD,
    MainMetric,
    parse_guards,
    shown_metrics,
)
from hooktune.contract.split_kind import SPLIT_OF_NEW, SplitKind
from hooktune.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from hooktune.contract.sessions import Ints, Sessions

BaselineKind = Literal["starting", "recorded"]

HOLDOUT_RATIO: Final = 0.1
NO_JUDGEMENTS: Final = "none"
QUERIES_FOR_HOLDOUT: Final = 200
"""How many queries a batch has at least of which a holdout is kept without being asked for."""

_ALWAYS_RECORDED: Final = ("seed", "test_ratio", "main_metric", "baseline")
"""What each iteration has a tag of. A setting that came later has its default where it has none."""


@dataclass(frozen=True)
class MethodSettings:
    """What a method is told when it is asked for its initial model."""

    initial_model: str | None
    """The folder or hub name that the user gave, or None to leave the choice to the method."""
    seed: int
    device: str
    """A torch device such as `cpu` or `cuda:0`."""


@dataclass(frozen=True)
class Wording:
    """What people read of a setting, beside the description of its field."""

    told: str
    """A sentence for those who look at an iteration; `{value}` stands for the setting."""
    differing: str
    """What is said of methods that do not have the same value, after `The methods`."""
    metavar: str | None = None
    """How the command line's help writes a value; None where the type says enough."""
    default: str | None = None
    """What a new iteration has without being asked; None where it is the field's default."""


class Split(NamedTuple):
    """The places of a batch's training, test and holdout sessions, in the batch's order."""

    train: "Ints"
    test: "Ints"
    holdout: "Ints"
    """Those that are measured once, with the model that is kept."""


def _read_main_metric(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return MainMetric.parse(value)
    except RequestError as error:
        raise ValueError(str(error)) from error


def _read_guards(value: object) -> object:
    given = value.split(",") if isinstance(value, str) else value
    kinds = str | MainMetric
    if not isinstance(given, list | tuple) or not all(isinstance(each, kinds) for each in given):
        return value
    try:
        return parse_guards(map(str, given))
    except RequestError as error:
        raise ValueError(str(error)) from error


class IterationSettings(BaseModel):
    """What an iteration is about: fixed when it is created and recorded on its experiment.

    A setting stands here alone, with its default, bounds and words. What people ask for, the
    options of `hooktune run`, the tags of an experiment, the params of a run, the comparison of
    methods and the descriptions in MLflow go through these fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    main_metric: Annotated[
        MainMetric,
        BeforeValidator(_read_main_metric),
        Wording(
            told="The best model is chosen by {value.name} ({value.direction}).",
            differing="are judged by different main metrics",
            metavar="NAME[:max|:min]",
        ),
    ] = Field(default=MainMetric(), description="What decides which model is best.")
    seed: Annotated[
        int,
        Wording(
            told="The seed is {value}.",
            differing="have different seeds, and so other test queries",
        ),
    ] = Field(default=0, ge=0, le=2**32 - 1, description="The seed of the split and of training.")
    test_ratio: Annotated[
        float,
        Wording(
            told="{value:.0%} of the queries are held out for testing, and not trained on.",
            differing="hold out different shares of the queries",
        ),
    ] = Field(default=0.2, gt=0, lt=1, description="The share of queries to test with.")
    holdout_ratio: Annotated[
        float,
        Wording(
            told="{value:.0%} of the queries are seen by no choice, and measured once.",
            differing="keep different shares of the queries from every choice",
            default=f"{HOLDOUT_RATIO} from {QUERIES_FOR_HOLDOUT} queries on, else 0",
        ),
    ] = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="The share of queries that neither training nor any choice sees, and that "
        "measure the model that is kept once.",
    )
    split_by: Annotated[
        SplitKind,
        Wording(
            told="The sessions are split by {value}.",
            differing="are split by different things, and so have other test sessions",
            default=SPLIT_OF_NEW,
        ),
    ] = Field(
        default="text",
        description="What training and test do not share: queries, in whatever case, accents and "
        "order of words (query) or by their exact text (text), time, both, or users.",
    )
    baseline: Annotated[
        BaselineKind,
        Wording(
            told="Distance shift is measured from the {value} scores.",
            differing="measure distance shift from different baselines",
        ),
    ] = Field(
        default="starting",
        description="Measure distance shift from the starting model or from the recorded rank "
        "scores.",
    )

    guard: Annotated[
        tuple[MainMetric, ...],
        BeforeValidator(_read_guards),
        Wording(
            told="No run is kept that is worse than the starting model by: {value}.",
            differing="are guarded by different metrics",
            metavar="NAME[:max|:min]|none",
        ),
    ] = Field(
        default=DEFAULT_GUARDS,
        description="A metric that a run must not be worse by than its starting model, beyond the "
        "interval, to be kept; may be given several times.",
    )

    judgements: Annotated[
        str,
        Wording(
            told="The judgements are: {value}.",
            differing="are measured by different judgements",
            metavar="FILE",
        ),
    ] = Field(
        default=NO_JUDGEMENTS,
        pattern=f"^({NO_JUDGEMENTS}|[0-9a-f]{{24}})$",
        description="Grades of items for queries to measure by, never trained on: TREC qrels, or a "
        "table of query, object_id and grade as TSV, CSV or JSONL. What is recorded is a digest.",
    )

    def split(self, sessions: "Sessions") -> Split:
        """Divide the sessions of a batch: to train on, to test with, and the holdout.

        Raises:
            DataError: Too few queries have a click, or the batch lacks the times or users.
        """
        import numpy as np

        from hooktune.contract.splits import HOLDOUT, TEST, TRAIN, parts_of_sessions

        parts = parts_of_sessions(
            sessions, self.test_ratio, self.holdout_ratio, self.seed, self.split_by
        )
        return Split(*(np.flatnonzero(parts == part) for part in (TRAIN, TEST, HOLDOUT)))

    @property
    def shown_metrics(self) -> tuple[str, ...]:
        """The metrics that tables show of a model, the main one first."""
        judged = () if self.judgements == NO_JUDGEMENTS else (JUDGED_METRIC,)
        shown = *shown_metrics(self.main_metric.name), COLLECTION_RANKING_METRIC, *judged
        return tuple(dict.fromkeys(shown))

    def as_facts(self) -> dict[str, int | float | str]:
        """Return the settings as they are recorded on an iteration and on each of its runs."""
        return {
            setting_tag(name): value if isinstance(value, int | float) else setting_text(value)
            for name, value in self
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self | None:
        """Read the settings that an iteration has recorded.

        Returns:
            The settings, or None where a tag is missing or was edited.
        """
        found = {name: tags[tag] for name in cls.model_fields if (tag := setting_tag(name)) in tags}
        if not found.keys() >= set(_ALWAYS_RECORDED):
            return None
        try:
            return cls.model_validate(found)
        except ValidationError:
            return None

    def in_words(self) -> list[str]:
        """Return a sentence for each setting."""
        return [
            wording(name).told.format(
                value=setting_text(value) if isinstance(value, tuple) else value
            )
            for name, value in self
        ]


class AskedSettings(TypedDict, total=False):
    """The settings that a user asks for. One that is left out, or None, is left open.

    It is as the iteration has recorded it, else as the method declares it, else the default.
    """

    main_metric: MainMetric | str | None
    """Chooses the best model, such as `test_ndcg_at_10` or `test_loss:min`."""
    seed: int | None
    """The seed of the split and of all training; 0 by default."""
    test_ratio: float | None
    """The share of the queries that are held out for testing; 0.2 by default."""
    guard: str | Sequence[MainMetric | str] | None
    """Metrics by which a run must not be worse than its starting model, to be kept; `none` for no
    guard. By default ranking by clicks and the gap of the distance shift."""
    judgements: "str | Path | None"
    """A file of grades of items for queries, to measure by and never to train on."""
    holdout_ratio: float | None
    """The share of the queries that only measure the model that is kept; 0.1 from 200 queries on,
    else 0."""
    split_by: SplitKind | None
    """What training and test do not share; `query` by default."""
    baseline: BaselineKind | None
    """Measure distance shift from the `starting` model's similarities or from the `recorded` rank
    scores."""


def setting_tag(name: str) -> str:
    """Return the name under which a setting is recorded, as a tag and as a param."""
    return f"hooktune.{name}"


def setting_text(value: object) -> str:
    """Return a setting's value as it is recorded and shown."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or NO_GUARD
    return str(value)


def wording(name: str) -> Wording:
    """Return what people read of a setting."""
    field = IterationSettings.model_fields[name]
    return next(mark for mark in field.metadata if isinstance(mark, Wording))


def check_settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Check the settings that a user asks for, and bring each to its type.

    Returns:
        Those that are not left open.

    Raises:
        RequestError: There is no such setting, or a value is ill-typed or out of bounds.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    fields = IterationSettings.model_fields
    for name in given:
        if name not in fields:
            raise RequestError(f"There is no setting {name!r}. {did_you_mean(name, fields)}")
    try:
        settings = IterationSettings.model_validate(given)
    except ValidationError as error:
        refused = {str(problem["loc"][0]): problem for problem in error.errors()}
        reasons = (
            f"The {setting_in_words(name)} cannot be {given[name]!r}: {reason_in_words(problem)}. "
            f"{allowed_in_words(fields[name])}"
            for name, problem in refused.items()
        )
        raise RequestError(" ".join(reasons)) from error
    return {name: getattr(settings, name) for name in given}


def setting_in_words(name: str) -> str:
    """Return a setting's name as a sentence has it, such as `test ratio`."""
    return name.replace("_", " ")
