"""Some sessions of a log as columns, as the readers hand them on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from hooktune.contract.sessions import Floats, Ints, Mask
from hooktune.data.log_schema import Session


@dataclass(frozen=True, eq=False)
class SessionBlock:
    """Some sessions as a log states them: S sessions that show R results and have E events."""

    session_ids: pa.StringArray
    queries: pa.StringArray
    object_ids: pa.StringArray
    """The distinct names of the shown items and of those with events."""
    lengths: Ints
    """For each of the S sessions, how many results it shows."""
    shown: Ints
    """For each of the R results, the place of its item in `object_ids`."""
    rank: Floats
    """For each of the R results, its recorded score; NaN where there is none."""
    event_counts: Ints
    """For each of the S sessions, how many events it has."""
    event_on: Ints
    """For each of the E events, the place of its item in `object_ids`."""
    kinds: pa.StringArray
    """The distinct kinds of event."""
    event_kind: Ints
    """For each of the E events, the place of its kind in `kinds`."""

    @cached_property
    def _first_showings(self) -> tuple[Ints, Ints]:
        """Sorted keys of all pairs of a session and an item it shows, and their first results."""
        return np.unique(self._keys(self.lengths, self.shown), return_index=True)

    def _keys(self, counts: Ints, items: Ints) -> Ints:
        session = np.repeat(np.arange(len(counts)), counts)
        return session * len(self.object_ids) + items

    @property
    def is_first(self) -> Mask:
        """For each of the R results, whether its session shows its item there first."""
        first = np.zeros(len(self.shown), dtype=bool)
        first[self._first_showings[1]] = True
        return first

    @cached_property
    def event_results(self) -> Ints:
        """For each of the E events, the result it is on; -1 where its session shows none such."""
        keys, results = self._first_showings
        if not len(keys):
            return np.full(len(self.event_on), -1)
        wanted = self._keys(self.event_counts, self.event_on)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, results[place], -1)


def block_of(sessions: Sequence[Session]) -> SessionBlock:
    """Return sessions as columns."""
    results = [result for session in sessions for result in session.search_results]
    events = [event for session in sessions for event in session.events]
    return block_of_columns(
        pa.array([session.session_id for session in sessions], pa.string()),
        pa.array([session.search_query for session in sessions], pa.string()),
        np.array([len(session.search_results) for session in sessions], dtype=np.int64),
        pa.array([result.object_id for result in results], pa.string()),
        pa.array([result.rank for result in results], pa.float64()),
        np.array([len(session.events) for session in sessions], dtype=np.int64),
        pa.array([event.object_id for event in events], pa.string()),
        pa.array([event.event_type for event in events], pa.string()),
    )


def block_of_columns(
    session_ids: pa.StringArray,
    queries: pa.StringArray,
    lengths: Ints,
    shown: pa.StringArray,
    rank: pa.DoubleArray,
    event_counts: Ints,
    event_on: pa.StringArray,
    event_kind: pa.StringArray,
) -> SessionBlock:
    """Return sessions that are columns already, with each name of an item or a kind held once.

    Args:
        session_ids: For each of the S sessions, its id.
        queries: For each of the S sessions, its query.
        lengths: For each of the S sessions, how many results it shows.
        shown: For each of the R results, the name of its item.
        rank: For each of the R results, its recorded score; null where there is none.
        event_counts: For each of the S sessions, how many events it has.
        event_on: For each of the E events, the name of its item.
        event_kind: For each of the E events, its kind.
    """
    kinds = event_kind.dictionary_encode()
    names = pa.concat_arrays([shown, event_on]).dictionary_encode()
    places = names.indices.to_numpy()
    return SessionBlock(
        session_ids,
        queries,
        names.dictionary,
        lengths,
        places[: len(shown)],
        rank.to_numpy(zero_copy_only=False).astype(np.float32),
        event_counts,
        places[len(shown) :],
        kinds.dictionary,
        kinds.indices.to_numpy(),
    )
