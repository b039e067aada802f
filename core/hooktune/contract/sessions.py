"""A released batch: an immutable folder of sessions and items, and its columns in memory.

Sessions are held as columns, never as an object per session or per result: the results of all
sessions stand one after the other in flat arrays, and `offsets` says where each session begins.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
_Array = TypeVar("_Array", bound=npt.NDArray[Any])

_OF_RESULTS: Final = ("item_index", "clicks", "rank")
_OF_RESULTS_OR_NONE: Final = ("shown_at", "weights")
_OF_SESSIONS_OR_NONE: Final = ("times", "users")


def read_only(values: _Array) -> _Array:
    """Return a view of an array through which it cannot be written to."""
    view: _Array = values.view()
    view.setflags(write=False)
    return view


@dataclass(frozen=True, eq=False)
class Sessions:
    """Some sessions of a batch, as columns that cannot be written to: all runs share them.

    With S sessions showing R results altogether, `session_ids`, `query_index` and, less one,
    `offsets` have S entries; `item_index`, `clicks` and `rank` have R, in the order in which the
    results were shown, session after session.
    """

    queries: pa.LargeStringArray
    """The distinct queries of the whole batch; `is_image` tells which are images."""
    items: pa.LargeStringArray
    """The texts of the items of the whole batch; `is_image` tells which are images."""
    session_ids: pa.LargeStringArray
    query_index: Ints
    """For each session, the place of its query in `queries`."""
    offsets: Ints
    """Session i shows the results `offsets[i]` to `offsets[i + 1]`, the latter not included."""
    item_index: Ints
    """For each result, the place of its item in `items`."""
    clicks: Ints
    """For each result, how many events it had."""
    rank: Floats
    """For each result, the score that the search engine recorded; NaN where there is none."""
    shown_at: Ints | None = None
    """For each result, its position in the list that was shown; None where all of it is here."""
    weights: Floats | None = None
    """For each result, the greatest weight of an event on it, 0 where it had none; None where all
    events count alike."""

    times: Ints | None = None
    """For each session, when it was, in microseconds since 1970, and -1 where that is not known;
    None where times were not kept."""
    users: Ints | None = None
    """For each session, a number that stands for its user, and -1 where that is not known; None
    where users were not kept."""
    labels: pa.RecordBatch | None = None
    """For each session, the labels that were kept of it, such as its market: a column of texts by
    the name of each label, held as a dictionary, null where the log states none; None where no
    labels were kept."""
    examination: Floats | None = None
    """For each position from the first on, how likely a result is looked at there beside one at the
    first, as far as the log of the whole batch tells; None where it does not."""

    def __post_init__(self) -> None:
        names = (*_OF_RESULTS_OR_NONE, *_OF_SESSIONS_OR_NONE, "examination")
        optional = [name for name in names if getattr(self, name) is not None]
        for name in ["query_index", "offsets", *_OF_RESULTS, *optional]:
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def __repr__(self) -> str:
        return f"<Sessions: {len(self)} sessions, {self.result_count} results>"

    def __len__(self) -> int:
        return len(self.query_index)

    @property
    def result_count(self) -> int:
        """How many results the sessions show altogether."""
        return len(self.item_index)

    @cached_property
    def lengths(self) -> Ints:
        """For each session, how many results it shows."""
        return read_only(np.diff(self.offsets))

    @cached_property
    def session_index(self) -> Ints:
        """For each result, the place of its session."""
        return read_only(np.repeat(np.arange(len(self)), self.lengths))

    @cached_property
    def positions(self) -> Ints:
        """For each result, its position in the list that its session showed, from 1."""
        if self.shown_at is not None:
            return self.shown_at
        starts = np.repeat(self.offsets[:-1], self.lengths)
        return read_only(np.arange(self.result_count) - starts + 1)

    @cached_property
    def clicked(self) -> Mask:
        """For each result, whether it had an event."""
        return read_only(self.clicks > 0)

    @cached_property
    def grades(self) -> Floats:
        """For each result, how much was made of it: its weight, or 1 if it had an event; else 0."""
        weights = self.clicked if self.weights is None else self.weights
        return read_only(weights.astype(np.float64))

    @cached_property
    def not_irrelevant(self) -> Mask:
        """For each session, whether it has at least one event."""
        return read_only(self.sum_per_session(self.clicked) > 0)

    def sum_per_session(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Add up a value of each result over each session."""
        sums = np.zeros(len(self))
        # An empty session has no first result, and `reduceat` would take that of the next.
        shows = self.lengths > 0
        if shows.any():
            sums[shows] = np.add.reduceat(values, self.offsets[:-1][shows], dtype=np.float64)
        return sums

    def take(self, sessions: Ints | Mask) -> "Sessions":
        """Return the sessions at these places, in this order, or those that a mask picks."""
        return self.take_with(sessions)[0]

    def take_with(self, sessions: Ints | Mask, *values: Any) -> tuple["Sessions", tuple[Any, ...]]:
        """Return what `take` does, and with it the values of the results that are left.

        Args:
            sessions: Places of sessions, or a mask over them.
            values: Arrays or tensors with an entry for each result.
        """
        is_mask = sessions.dtype == np.bool_
        places: Ints = np.flatnonzero(sessions) if is_mask else sessions.astype(np.int64)
        results = self.result_places(places)
        taken = replace(
            self,
            session_ids=self.session_ids.take(pa.array(places)),
            query_index=self.query_index[places],
            offsets=np.concatenate([[0], np.cumsum(self.lengths[places])]),
            **self._of_results(results),
            labels=None if self.labels is None else self.labels.take(pa.array(places)),
            **_picked(self, _OF_SESSIONS_OR_NONE, places),
        )
        return taken, tuple(value[results] for value in values)

    def result_places(self, sessions: Ints) -> Ints:
        """Return the places of the results that these sessions show, session after session."""
        lengths = self.lengths[sessions]
        starts = np.cumsum(lengths) - lengths
        places: Ints = np.repeat(self.offsets[sessions] - starts, lengths)
        places += np.arange(len(places), dtype=places.dtype)
        return places

    def keep_results(self, kept: Mask) -> "Sessions":
        """Return the same sessions with only the results that a mask picks.

        A kept result keeps its position.
        """
        return self.keep_results_with(kept)[0]

    def keep_results_with(self, kept: Mask, *values: Any) -> tuple["Sessions", tuple[Any, ...]]:
        """Return what `keep_results` does, and with it the values of the results that are left.

        Args:
            kept: For each result, whether it stays.
            values: Arrays or tensors with an entry for each result.
        """
        lengths = self.sum_per_session(kept).astype(np.int64)
        left = replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            **{**self._of_results(kept), "shown_at": self.positions[kept]},
        )
        return left, tuple(value[kept] for value in values)

    def _of_results(self, picked: Ints | Mask) -> dict[str, Any]:
        """Return the columns that have an entry for each result, for some results."""
        return _picked(self, (*_OF_RESULTS, *_OF_RESULTS_OR_NONE), picked)


def _picked(sessions: Sessions, names: Iterable[str], picked: Ints | Mask) -> dict[str, Any]:
    columns = {name: getattr(sessions, name) for name in names}
    return {name: None if values is None else values[picked] for name, values in columns.items()}


@dataclass(frozen=True, eq=False)
class Batch:
    """A released batch, opened."""

    batch_id: str
    sessions: Sessions
    object_ids: pa.LargeStringArray
    """For each item, its name in the log."""

    def __repr__(self) -> str:
        sessions, items = len(self.sessions), len(self.object_ids)
        return f"<Batch {self.batch_id}: {sessions} sessions, {items} items>"


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """What a method is given to learn from: the training sessions of a batch."""

    batch_id: str
    train: Sessions
    baseline: Floats
    """For each result of `train`, the similarity that distance shift is measured from."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "baseline", read_only(self.baseline))
