"""What a user asks of an iteration, checked before anything is imported or looked up."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, cast, get_args

from hooktune.contract.settings import AskedSettings, IterationSettings, check_settings
from hooktune.data.judgements import Judgements, read_judgements
from hooktune.errors import RequestError, did_you_mean
from hooktune.iteration.limits import NO_PRUNING, PruneKind, seconds_of

DEFAULT_MAX_RUNS: Final = 4
DEFAULT_CHECKPOINT_EVERY: Final = 300.0  # seconds: what may have to be done again


class RunOptions(AskedSettings, total=False):
    """What `Runner.run` may be asked for, beside the settings of the iteration.

    One that is left out, or None, is left open.
    """

    max_runs: int | None
    """How many sets of hyper-parameters at most; 4 by default."""
    params: Mapping[str, Any] | None
    """Hyper-parameters that hold in all runs, by name."""
    search: str | None
    """Who chooses the hyper-parameters that are not fixed, such as `random` or `tpe`; `warm` by
    default."""
    prune: str | None
    """How a run is stopped that falls behind: by the test `queries`, by the `median` of the other
    runs, or not at all (`none`, the default)."""
    budget: str | float | None
    """After how much time no new run begins: seconds, or such as `90m` or `2h`."""
    patience: int | None
    """After how many runs without a better one no new run begins."""
    start: str | None
    """The model to tune: `initial`, `last` (the best one of the method's last finished iteration;
    the default) or the id of a run that has a model."""
    initial_model: str | None
    """A folder or hub name to start from, when the method has no initial model yet; by default the
    method chooses."""
    device: str | None
    """A torch device; by default the best one that there is."""
    embeddings: str | Path | None
    """A folder that keeps what the starting model makes of each text, for later iterations."""
    checkpoint_every: float | None
    """After how many seconds a run keeps its state in the store, to be gone on with if the process
    dies; 0 for after each step, 300 by default."""


@dataclass(frozen=True)
class Request:
    """What the user asks of an iteration; None leaves a choice to the record or the default."""

    max_runs: int = DEFAULT_MAX_RUNS
    params: Mapping[str, Any] = field(default_factory=dict)
    search: str | None = None
    """The name of a sampler."""
    prune: PruneKind = NO_PRUNING
    budget: str | float | None = None
    """Seconds, or a text with a unit."""
    patience: int | None = None
    start: str | None = None
    """`initial`, `last` or the id of a run."""
    settings: AskedSettings = field(default_factory=AskedSettings)
    initial_model: str | None = None
    device: str | None = None
    checkpoint_every: float = DEFAULT_CHECKPOINT_EVERY
    """Seconds; tells nothing about what a run does."""
    embeddings: Path | None = None
    """A folder that keeps what the starting model makes of texts; tells nothing about what a run
    does."""
    judgements: Judgements | None = None
    """What the file held that was named; `settings` has its digest."""

    def __post_init__(self) -> None:
        if not _is_number(self.checkpoint_every) or not self.checkpoint_every >= 0:
            raise RequestError(
                "A checkpoint is kept every so many seconds, or with 0 after each step, and not "
                f"every {self.checkpoint_every!r}."
            )
        if not isinstance(self.max_runs, int) or self.max_runs < 1:
            raise RequestError(f"At least one run is needed, and {self.max_runs!r} is asked for.")
        kinds = get_args(PruneKind)
        if self.prune not in kinds:
            known = did_you_mean(str(self.prune), kinds)
            raise RequestError(f"There is no pruning {self.prune!r}. {known}")
        if self.budget is not None:
            seconds_of(self.budget)
        if self.patience is not None and (not isinstance(self.patience, int) or self.patience < 1):
            raise RequestError(
                f"Patience is a number of runs, 1 at least, and not {self.patience!r}."
            )
        if not isinstance(self.params, Mapping):
            raise RequestError(f"Hyper-parameters are values by name, and not {self.params!r}.")
        check_settings(self.settings)


def make_request(options: RunOptions) -> Request:
    """Check what a user asks for.

    Raises:
        RequestError: There is no such option, or a value is ill-typed or out of bounds.
        DataError: The file of judgements cannot be used.
    """
    own = {option.name for option in fields(Request)} - {"settings", "judgements"}
    known = [*own, *IterationSettings.model_fields]
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in known:
            raise RequestError(f"There is no option {name!r}. {did_you_mean(name, known)}")
    settings = {name: value for name, value in given.items() if name not in own}
    named: dict[str, Any] = {name: value for name, value in given.items() if name in own}
    if "embeddings" in named:
        named["embeddings"] = _folder_of_embeddings(named["embeddings"])
    judgements = None
    if "judgements" in settings:
        file = settings["judgements"]
        if not isinstance(file, str | Path):
            raise RequestError(f"Judgements are given by their file, and not by {file!r}.")
        judgements = read_judgements(Path(file))
        settings["judgements"] = judgements.digest
    return Request(**named, settings=cast(AskedSettings, settings), judgements=judgements)


def _folder_of_embeddings(folder: object) -> Path:
    if not isinstance(folder, str | Path):
        raise RequestError(f"Embeddings are kept in a folder, and not in {folder!r}.")
    path = Path(folder).expanduser()
    if path.exists() and not path.is_dir():
        raise RequestError(f"Embeddings are kept in a folder, and {path} is a file.")
    return path


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
